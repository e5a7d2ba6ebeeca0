"""What becomes of responses on the wire. See side_by_side.py."""

from test_wire_cancel import cancelled, ringing


def answer_bytes(request, status, reason="Whatever", tag="b", extra=()):
    """A response as a text, for those that no well-behaved phone sends."""
    lines = [f"SIP/2.0 {status} {reason}"]
    lines += [f"{name.title()}: {value}" for name, value in request.headers if name in ("via", "from", "call-id")]
    lines += [f"To: {request['to']};tag={tag}", f"CSeq: {request['cseq']}", *extra, "Content-Length: 0"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_prx_40_prx_41_strays_are_dropped(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    good = answer_bytes(offered, 200)
    branch = offered["via"].partition("branch=")[2][:59].encode()
    sent_by = f"127.0.0.1:{stage.siphond.port}".encode()
    for wrong in (
        good.replace(branch, branch[:20] + branch[20:40][::-1] + branch[40:]),
        good.replace(sent_by, b"127.0.0.1:9", 1),
        good.replace(b"Call-Id: ", b"Call-Id: x"),
        good.replace(b"1 INVITE", b"2 INVITE"),
    ):
        assert wrong != good
        bob.send(wrong, to=offered.source)
    for status in (100, 180, 200, 404, 603):
        text = answer_bytes(offered, status).replace(branch, b"z9hG4bK-nobody")
        bob.send(text, to=offered.source)
    await stage.until(bob.at + 2)
    assert alice.distinct() == ["100 INVITE"]
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, await alice.comes("486 INVITE"))
    assert set(bob.distinct()) == {"INVITE", "ACK"}


async def test_prx_42_prx_43_prx_57_each_provisional_passes_untouched_less_our_via_and_100_never(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    await alice.comes("100 INVITE")
    extra = ["X-Odd:   two   words ", "Retry-After: 1 (one)"]
    for status, reason in ((100, "Trying"), (180, "Klingelt \u00fcberall"), (182, ""), (183, "A  b"), (199, "?")):
        bob.send(answer_bytes(offered, status, reason, extra=extra), to=offered.source)
        if status > 100:
            came = await alice.comes(f"{status} INVITE", but=[])
            assert came.start == f"SIP/2.0 {status} {reason}"
            assert came.all("via") == offered.all("via")[1:]
            assert b"X-Odd:   two   words \r\n" in came.raw
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, await alice.comes("486 INVITE"))


async def test_prx_44_prx_53_every_200_passes_with_its_own_tag_and_none_is_acknowledged_here(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.invite(bob)
    offered = await bob.comes("INVITE")
    for tag in ("one", "one", "two"):
        bob.respond(offered, 200, tag=tag)
        assert (await alice.comes("200 INVITE")).tag("to") == tag
    await stage.until(bob.at + 2)
    assert bob.distinct() == ["INVITE"] and len(alice.came("200 INVITE")) == 3


async def test_prx_46_a_603_is_held_until_the_others_have_ended(stage):
    alice, desk, mobile = stage.phones("alice", "desk", "mobile")
    invite, [at_desk, at_mobile] = await ringing(alice, desk, mobile)
    desk.respond(at_desk, 603, tag="desk")
    await desk.comes("ACK")
    mobile.respond(await mobile.comes("CANCEL"), 200, tag="mobile")
    await stage.until(mobile.at + 1)
    assert "603 INVITE" not in alice.distinct()
    mobile.respond(at_mobile, 487, tag="mobile")
    await mobile.comes("ACK")
    alice.acknowledge(invite, await alice.comes("603 INVITE"))


async def test_prx_46_a_200_beats_a_603_that_came_before(stage):
    alice, desk, mobile = stage.phones("alice", "desk", "mobile")
    _, [at_desk, at_mobile] = await ringing(alice, desk, mobile)
    desk.respond(at_desk, 603, tag="desk")
    await desk.comes("ACK")
    mobile.respond(await mobile.comes("CANCEL"), 200, tag="mobile")
    mobile.respond(at_mobile, 200, tag="mobile")
    await alice.comes("200 INVITE")
    await stage.until(mobile.at + 2)
    assert "603 INVITE" not in alice.distinct()


async def best_of(stage, best, *refusals):
    """The caller's final, which must be `best`, where phones refuse with these: each a status and header lines."""
    alice, *phones = stage.phones("alice", *(f"p{number}" for number in range(len(refusals))))
    invite = alice.invite(*phones)
    for phone, (status, *extra) in zip(phones, refusals, strict=True):
        phone.respond(await phone.comes("INVITE"), status, tag=phone.user, extra=extra)
        await phone.comes("ACK")
    final = await alice.comes(f"{best} INVITE")
    alice.acknowledge(invite, final)
    return final


async def test_prx_47_the_best_failure_goes_up(stage):
    for best, *statuses in ((486, 408, 486, 500), (302, 486, 302), (603, 603, 404), (415, 480, 415)):
        await best_of(stage, best, *((status,) for status in statuses))


async def test_prx_48_all_challenges_go_up_in_one_answer(stage):
    one, two = 'WWW-Authenticate: Digest realm="a",  nonce="1"', 'Proxy-Authenticate: Digest realm="b", nonce="2"'
    found = await best_of(stage, 401, (401, one), (407, two))
    assert one.encode() in found.raw and two.encode() in found.raw


async def test_prx_49_a_lone_503_goes_up_as_500_without_retry_after(stage):
    found = await best_of(stage, 500, (503, "Retry-After: 30"))
    assert not found["retry-after"]


async def test_prx_49_a_404_beats_a_503(stage):
    await best_of(stage, 404, (503,), (404,))


async def test_prx_56_a_302_goes_up_and_is_not_followed(stage):
    alice, bob, other = stage.phones("alice", "bob", "other")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    bob.send(answer_bytes(offered, 302, extra=[f"Contact: {other.contact}"]), to=offered.source)
    final = await alice.comes("302 INVITE")
    alice.acknowledge(invite, final)
    await bob.comes("ACK")
    await stage.until(alice.at + 1)
    assert final["contact"] == other.contact and other.distinct() == []


async def test_prx_58_a_failure_after_the_final_is_acknowledged_and_goes_no_further(stage):
    alice, desk, mobile = stage.phones("alice", "desk", "mobile")
    _, [at_desk, at_mobile] = await ringing(alice, desk, mobile)
    mobile.respond(at_mobile, 200, tag="mobile")
    await alice.comes("200 INVITE")
    await cancelled(desk, at_desk)
    desk.forget()
    for _ in range(2):
        desk.respond(at_desk, 487, tag="desk")
        await desk.comes("ACK")
    await stage.until(desk.at + 2)
    assert alice.distinct()[-1] == "200 INVITE"


async def test_prx_51_nat_13_a_phone_that_is_gone_fails_its_branch_at_once_and_no_other(stage):
    alice, gone, bob = stage.phones("alice", "gone", "bob")
    gone.hang_up()
    invite = alice.invite(gone)
    sent = alice.at
    final = await alice.comes("500 INVITE")
    assert final.at - sent < 1 + stage.sleeper.stalls(sent, final.at)
    alice.acknowledge(invite, final)
    invite = alice.invite(gone, bob)
    offered = await bob.comes("INVITE")
    await stage.until(offered.at + 1)
    assert [name for name in alice.distinct() if name.endswith("INVITE")].count("500 INVITE") == 1
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, await alice.comes("486 INVITE"))


async def test_prx_50_a_silent_phone_counts_as_408_among_others(stage):
    alice, silent, bob = stage.phones("alice", "silent", "bob")
    invite = alice.invite(silent, bob)
    offered = await bob.comes("INVITE")
    bob.respond(offered, 500, tag="b")
    await bob.comes("ACK")
    final = await alice.comes("408 INVITE", within=40)
    stage.on_time([final.at - offered.at], [32], offered.at)
    alice.acknowledge(invite, final)


async def test_fork_06_on_failure_goes_on_elsewhere_with_one_max_forwards_and_record_route(stage):
    alice, desk, voicemail = stage.phones("alice", "desk", "voicemail")
    alice.invite(desk, extra=[f"X-Next: {voicemail.uri}"])
    desk.respond(await desk.comes("INVITE"), 486, tag="desk")
    await desk.comes("ACK")
    offered = await voicemail.comes("INVITE")
    assert offered["max-forwards"] == "69" and len(offered.all("record-route")) == 1
    voicemail.respond(offered, 200, tag="v")
    await alice.comes("200 INVITE")
    assert "486 INVITE" not in alice.distinct()
