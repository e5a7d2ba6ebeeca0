"""Several phones of one user, and dialogs, on the wire. See side_by_side.py."""

from test_wire_cancel import cancelled, ringing
from udp_agent import unique


async def test_fork_01_phones_of_one_q_ring_together_and_the_next_q_when_all_of_them_have_ended(stage):
    alice, first, second, third = stage.phones("alice", "first", "second", "third")
    user = unique("team")
    for phone, q in ((first, 1.0), (second, 1.0), (third, 0.5)):
        phone.enrol(user, q)
        await phone.comes("200 REGISTER")
    invite = alice.start("INVITE", user=user, extra=["X-Strategy: q"])
    at_first, at_second = await first.comes("INVITE"), await second.comes("INVITE")
    for phone, offered in ((first, at_first), (second, at_second)):
        phone.respond(offered, 180, tag=phone.user)
        await alice.comes("180 INVITE")
    first.respond(at_first, 486, tag="first")
    await first.comes("ACK")
    await stage.until(first.at + 1)
    assert third.distinct() == ["200 REGISTER"]
    second.respond(at_second, 480, tag="second")
    await second.comes("ACK")
    at_third = await third.comes("INVITE")
    third.respond(at_third, 404, tag="third")
    await third.comes("ACK")
    alice.acknowledge(invite, await alice.comes("486 INVITE"))
    assert alice.distinct() == ["100 INVITE", "180 INVITE", "180 INVITE", "486 INVITE"]


async def test_fork_02_the_next_phone_rings_when_the_time_of_the_one_before_is_over(stage):
    alice, first, second = stage.phones("alice", "first", "second")
    invite = alice.invite(first, second, extra=["X-Strategy: sequential", "X-Ring: 2"])
    at_first = await first.comes("INVITE")
    first.respond(at_first, 180, tag="first")
    at_second = await second.comes("INVITE")
    stage.on_time([at_second.at - at_first.at], [2], at_first.at)
    second.respond(at_second, 180, tag="second")
    await cancelled_as(first, at_first)
    second.respond(at_second, 486, tag="second")
    await second.comes("ACK")
    alice.acknowledge(invite, await alice.comes("486 INVITE", but=["100 INVITE", "180 INVITE"]))


async def cancelled_as(phone, offered):
    cancel = await phone.comes("CANCEL")
    phone.respond(cancel, 200, tag=phone.user)
    phone.respond(offered, 487, tag=phone.user)
    await phone.comes("ACK")


async def test_fork_02_a_200_that_crosses_the_end_of_its_time_wins(stage):
    alice, first, second = stage.phones("alice", "first", "second")
    alice.invite(first, second, extra=["X-Strategy: sequential", "X-Ring: 1"])
    at_first = await first.comes("INVITE")
    first.respond(at_first, 180, tag="first")
    at_second = await second.comes("INVITE")
    second.respond(at_second, 180, tag="second")
    await alice.comes("180 INVITE")
    first.respond(at_first, 200, tag="first")
    answer = await alice.comes("200 INVITE", but=["180 INVITE"])
    assert answer.tag("to") == "first"
    await cancelled_as(second, at_second)
    alice.within(alice.dialog(answer), "ACK")
    await first.comes("ACK", but=["CANCEL"])
    assert "487 INVITE" not in alice.distinct()


async def test_fork_03_every_provisional_of_every_phone_passes_with_its_own_tag(stage):
    alice, *phones = stage.phones("alice", "one", "two", "three")
    alice.invite(*phones)
    offered = [await phone.comes("INVITE") for phone in phones]
    for status in (180, 183, 199):
        for phone, offer in zip(phones, offered, strict=True):
            phone.respond(offer, status, tag=phone.user)
            came = await alice.comes(f"{status} INVITE")
            assert came.tag("to") == phone.user
    phones[0].respond(offered[0], 200, tag="one")
    await alice.comes("200 INVITE")


async def test_fork_04_the_caller_sees_only_the_200_and_the_487_of_the_others_ends_here(stage):
    alice, desk, mobile = stage.phones("alice", "desk", "mobile")
    _, [at_desk, at_mobile] = await ringing(alice, desk, mobile)
    mobile.respond(at_mobile, 200, tag="mobile")
    answer = await alice.comes("200 INVITE")
    await cancelled(desk, at_desk)
    await stage.until(desk.at + 2)
    assert answer.tag("to") == "mobile"
    assert alice.distinct()[-1] == "200 INVITE" and desk.distinct() == ["INVITE", "CANCEL", "ACK"]


async def test_fork_05_prx_44_a_second_200_is_forwarded_and_the_caller_can_end_it(stage):
    alice, desk, mobile = stage.phones("alice", "desk", "mobile")
    _, [at_desk, at_mobile] = await ringing(alice, desk, mobile)
    mobile.respond(at_mobile, 200, tag="mobile")
    await alice.comes("200 INVITE")
    desk.respond(await desk.comes("CANCEL"), 200, tag="desk")
    desk.respond(at_desk, 200, tag="desk")
    late = await alice.comes("200 INVITE")
    assert late.tag("to") == "desk"
    dialog = alice.dialog(late)
    alice.within(dialog, "ACK")
    await desk.comes("ACK")
    alice.within(dialog, "BYE")
    desk.respond(await desk.comes("BYE"), 200)
    await alice.comes("200 BYE")
    assert mobile.distinct() == ["INVITE"]


async def test_fork_09_reliable_provisionals_and_their_prack_pass_while_the_call_rings(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.invite(bob, extra=["Supported: 100rel"])
    offered = await bob.comes("INVITE")
    assert offered["supported"] == "100rel"
    bob.respond(offered, 183, tag="b", extra=["Require: 100rel", "RSeq: 7"])
    progress = await alice.comes("183 INVITE")
    assert (progress["require"], progress["rseq"]) == ("100rel", "7")
    dialog = alice.dialog(progress)
    alice.within(dialog, "PRACK", extra=["RAck: 7 1 INVITE"])
    prack = await bob.comes("PRACK")
    assert prack["rack"] == "7 1 INVITE" and prack.uri == bob.uri
    bob.respond(prack, 200)
    await alice.comes("200 PRACK")
    bob.respond(offered, 200, tag="b")
    alice.within(alice.dialog(await alice.comes("200 INVITE")), "ACK")
    await bob.comes("ACK")


async def test_fork_10_requests_of_the_dialog_follow_the_route_in_both_directions(stage):
    alice, bob, other = stage.phones("alice", "bob", "other")
    alice.invite(bob)
    offered = await bob.comes("INVITE")
    other.enrol("somebody")  # the user of the Request-URI has a phone now: nobody asks for it in a dialog
    await other.comes("200 REGISTER")
    bob.respond(offered, 180, tag="b")
    early = alice.dialog(await alice.comes("180 INVITE"))
    alice.within(early, "UPDATE")
    bob.respond(await bob.comes("UPDATE"), 200)
    await alice.comes("200 UPDATE")
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(await alice.comes("200 INVITE"))
    dialog.cseq = early.cseq
    ack = dialog.cseq
    dialog.cseq = 1
    alice.within(dialog, "ACK")
    await bob.comes("ACK")
    dialog.cseq = ack
    callee = bob.dialog_of_callee(offered, "b")
    for caller, called, route in ((alice, bob, dialog), (bob, alice, callee)):
        caller.within(route, "INFO")
        called.respond(await called.comes("INFO"), 200)
        await caller.comes("200 INFO")
    await glare(alice, bob, dialog)
    bob.within(callee, "BYE")
    alice.respond(await alice.comes("BYE"), 200)
    await bob.comes("200 BYE")
    assert other.distinct() == ["200 REGISTER"]


async def glare(alice, bob, dialog):
    """A re-INVITE that is refused: 491 and its ACK."""
    reinvite = alice.within(dialog, "INVITE")
    bob.respond(await bob.comes("INVITE"), 491)
    await bob.comes("ACK")
    final = await alice.comes("491 INVITE")
    alice.acknowledge(reinvite, final)
