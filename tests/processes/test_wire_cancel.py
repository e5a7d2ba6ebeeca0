"""CANCEL on the wire, by default timers. See side_by_side.py."""

from test_wire_timers import NON_INVITE


async def ringing(alice, *phones, extra=()):
    """A call that rings at all phones: the INVITE, and what each phone got."""
    invite = alice.invite(*phones, extra=extra)
    offered = []
    for phone in phones:
        offered.append(await phone.comes("INVITE"))
        phone.respond(offered[-1], 180, tag=phone.user)
        await alice.comes("180 INVITE")
    return invite, offered


async def cancelled(bob, offered):
    """bob's side of a cancelled call."""
    cancel = await bob.comes("CANCEL")
    bob.respond(cancel, 200, tag=bob.user)
    bob.respond(offered, 487, tag=bob.user)
    await bob.comes("ACK")
    return cancel


async def test_can_01_can_02_can_04_a_cancel_is_answered_at_once_goes_down_as_its_invite_did_and_ends_in_487(stage):
    alice, bob = stage.phones("alice", "bob")
    invite, [offered] = await ringing(alice, bob, extra=["Require: foo", "Proxy-Require:", "Subject: lunch"])
    alice.cancel(invite)
    accepted = await alice.comes("200 CANCEL")
    cancel = await cancelled(bob, offered)
    final = await alice.comes("487 INVITE")
    alice.acknowledge(invite, final)
    assert cancel.uri == offered.uri and cancel["cseq"] == offered["cseq"].split()[0] + " CANCEL"
    assert cancel.all("via") == offered.all("via")[:1]
    for name in ("from", "to", "call-id", "route"):
        assert cancel[name] == offered[name]
    assert not cancel["require"] and not cancel["proxy-require"]
    assert cancel["content-length"] == "0"
    assert accepted.tag("to")


async def test_can_03_a_cancel_waits_for_the_first_provisional(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    alice.cancel(invite)
    await alice.comes("200 CANCEL")
    await stage.until(offered.at + 2)
    stage.on_time(bob.times("INVITE", offered.at), [0, 0.5, 1.5], offered.at)
    assert bob.distinct() == ["INVITE"]
    bob.respond(offered, 180, tag="b")
    await cancelled(bob, offered)
    alice.acknowledge(invite, await alice.comes("487 INVITE", but=["100 INVITE", "180 INVITE"]))


async def test_can_03_fork_05_a_200_that_comes_first_is_forwarded_and_nothing_is_cancelled(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    alice.cancel(invite)
    await alice.comes("200 CANCEL")
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(await alice.comes("200 INVITE"))
    alice.within(dialog, "ACK")
    await bob.comes("ACK")
    alice.within(dialog, "BYE")
    bob.respond(await bob.comes("BYE"), 200)
    await alice.comes("200 BYE")
    await stage.until(alice.at + 2)
    assert bob.distinct() == ["INVITE", "ACK", "BYE"]
    assert alice.distinct() == ["100 INVITE", "200 CANCEL", "200 INVITE", "200 BYE"]


async def test_can_03_a_cancelled_call_to_a_silent_phone_ends_with_timer_b(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    await stage.until(offered.at + 1)
    alice.cancel(invite)
    await alice.comes("200 CANCEL")
    final = await alice.comes("487 INVITE", within=40)
    stage.on_time([final.at - offered.at], [32], offered.at)
    alice.acknowledge(invite, final)
    assert bob.distinct() == ["INVITE"] and len(bob.came("INVITE")) == 7


async def test_can_04_can_09_a_phone_that_ignores_cancel_gets_it_11_times_and_the_caller_487(stage):
    alice, bob = stage.phones("alice", "bob")
    invite, _ = await ringing(alice, bob)
    cancelling = alice.cancel(invite)
    accepted = await alice.comes("200 CANCEL")
    first = await bob.comes("CANCEL")
    for at in (0.2, 5, 20):
        await stage.until(first.at + at)
        alice.send(cancelling)
        assert (await alice.comes("200 CANCEL")).raw == accepted.raw
    final = await alice.comes("487 INVITE", within=40)
    stage.on_time([final.at - accepted.at], [32], accepted.at)
    alice.acknowledge(invite, final)
    await stage.until(first.at + 37)
    stage.on_time(bob.times("CANCEL", first.at), NON_INVITE, first.at)
    assert bob.distinct() == ["INVITE", "CANCEL"], "one transaction, however often the caller says it"


async def test_can_05_a_cancel_after_the_200_changes_nothing(stage):
    alice, bob = stage.phones("alice", "bob")
    invite, [offered] = await ringing(alice, bob)
    bob.respond(offered, 200, tag="bob")
    await alice.comes("200 INVITE")
    alice.cancel(invite)
    await alice.comes("200 CANCEL")
    await stage.until(alice.at + 2)
    assert bob.distinct() == ["INVITE"]
    assert alice.distinct() == ["100 INVITE", "180 INVITE", "200 INVITE", "200 CANCEL"]


async def test_can_05_fork_05_a_200_that_crosses_the_cancel_stands(stage):
    alice, bob = stage.phones("alice", "bob")
    invite, [offered] = await ringing(alice, bob)
    alice.cancel(invite)
    bob.respond(await bob.comes("CANCEL"), 200, tag="bob")
    bob.respond(offered, 200, tag="bob")
    dialog = alice.dialog(await alice.comes("200 INVITE", but=["200 CANCEL"]))
    alice.within(dialog, "ACK")
    await bob.comes("ACK")
    alice.within(dialog, "BYE")
    bob.respond(await bob.comes("BYE"), 200)
    await alice.comes("200 BYE")
    await stage.until(alice.at + 2)
    assert sorted(alice.distinct()) == ["100 INVITE", "180 INVITE", "200 BYE", "200 CANCEL", "200 INVITE"]


async def test_can_05_a_cancel_of_a_message_has_no_effect(stage):
    alice, bob = stage.phones("alice", "bob")
    request = alice.start("MESSAGE", bob)
    offered = await bob.comes("MESSAGE")
    alice.send(request.replace(b"MESSAGE sip", b"CANCEL sip").replace(b"1 MESSAGE", b"1 CANCEL"))
    await alice.comes("200 CANCEL")
    await stage.until(alice.at + 0.3)
    bob.respond(offered, 200, tag="b")
    await alice.comes("200 MESSAGE")
    assert bob.distinct() == ["MESSAGE"]


async def test_can_06_a_cancel_of_nothing_gets_481(stage):
    alice = stage.phone("alice")
    alice.cancel(alice.request("INVITE", "sip:bob@example.com"))
    await alice.comes("481 CANCEL")
    await stage.until(alice.at + 2)
    assert alice.distinct() == ["481 CANCEL"]


async def test_prx_54_can_09_each_phone_that_rings_gets_one_cancel_when_another_answers(stage):
    alice, desk, mobile, cell = stage.phones("alice", "desk", "mobile", "cell")
    invite, offered = await ringing(alice, desk, mobile, cell)
    mobile.respond(offered[1], 200, tag="mobile")
    dialog = alice.dialog(await alice.comes("200 INVITE"))
    for phone, offer in ((desk, offered[0]), (cell, offered[2])):
        await cancelled(phone, offer)
    alice.within(dialog, "ACK")
    await mobile.comes("ACK")
    await stage.until(alice.at + 2)
    assert desk.distinct() == cell.distinct() == ["INVITE", "CANCEL", "ACK"]
    assert len(desk.came("ACK")) == len(cell.came("ACK")) == 1
    assert mobile.distinct() == ["INVITE", "ACK"]
    assert [name for name in alice.distinct() if not name.startswith("18")] == ["100 INVITE", "200 INVITE"]
