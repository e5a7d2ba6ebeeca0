"""Requests other than INVITE on the wire, by default timers. See side_by_side.py."""


async def test_txn_12_a_provisional_slows_the_repeats_to_every_4_seconds_and_the_final_ends_them(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.start("MESSAGE", bob)
    offered = await bob.comes("MESSAGE")
    bob.respond(offered, 183, tag="b")
    await stage.until(offered.at + 15)
    answer = bob.respond(offered, 200, tag="b")
    await alice.comes("200 MESSAGE", but=["100 MESSAGE"])
    for at in (16, 18, 21):
        await stage.until(offered.at + at)
        bob.send(answer)
    await stage.until(offered.at + 22)
    stage.on_time(bob.times("MESSAGE", offered.at), [0, 0.5, 4.5, 8.5, 12.5], offered.at)
    assert alice.distinct() == ["100 MESSAGE", "200 MESSAGE"] and len(alice.came("200 MESSAGE")) == 1


async def test_txn_12_a_request_that_is_never_finished_ends_at_timer_f(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.start("MESSAGE", bob)
    offered = await bob.comes("MESSAGE")
    bob.respond(offered, 100)
    await stage.until(offered.at + 38)
    stage.on_time(bob.times("MESSAGE", offered.at), [0, 0.5, *(4.5 + 4 * n for n in range(7))], offered.at)
    assert alice.distinct() == ["100 MESSAGE"]


async def test_txn_13_a_repeat_is_ignored_then_gets_100_then_the_same_final_for_32_seconds_and_is_new_after(stage):
    alice, bob = stage.phones("alice", "bob")
    request = alice.start("MESSAGE", bob)
    offered = await bob.comes("MESSAGE")
    alice.send(request)
    await stage.until(offered.at + 2)
    assert alice.distinct() == []
    trying = await alice.comes("100 MESSAGE")
    alice.send(request)
    assert (await alice.comes("100 MESSAGE")).raw == trying.raw
    bob.respond(offered, 200, tag="b")
    final = await alice.comes("200 MESSAGE", but=["100 MESSAGE"])
    for at in (0.5, 10, 31):
        await stage.until(final.at + at)
        alice.send(request)
        assert (await alice.comes("200 MESSAGE")).raw == final.raw
    assert bob.distinct() == ["MESSAGE"]
    await stage.until(final.at + 40)
    bob.forget()
    alice.send(request)
    again = await bob.comes("MESSAGE")
    assert again["via"] != offered["via"]
    bob.respond(again, 202, tag="c")
    await alice.comes("202 MESSAGE")


async def test_txn_22_an_answer_after_the_end_of_the_transaction_is_dropped(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.start("MESSAGE", bob)
    offered = await bob.comes("MESSAGE")
    await stage.until(offered.at + 33.5)
    bob.respond(offered, 200, tag="b")
    await stage.until(offered.at + 39)
    bob.respond(offered, 200, tag="b")
    await stage.until(offered.at + 41)
    assert alice.distinct() == ["100 MESSAGE"]


async def test_prx_45_prx_58_a_forked_message_gets_one_final_and_later_ones_are_dropped(stage):
    alice, desk, mobile = stage.phones("alice", "desk", "mobile")
    alice.start("MESSAGE", desk, mobile)
    at_desk, at_mobile = await desk.comes("MESSAGE"), await mobile.comes("MESSAGE")
    desk.respond(at_desk, 200, tag="desk")
    final = await alice.comes("200 MESSAGE")
    mobile.respond(at_mobile, 202, tag="mobile")
    desk.respond(at_desk, 486, tag="desk")
    await stage.until(mobile.at + 2)
    assert final.tag("to") == "desk" and alice.distinct() == ["200 MESSAGE"]
    assert mobile.distinct() == ["MESSAGE"], "a message is not cancelled"


async def test_prx_51_a_phone_that_is_gone_fails_a_message_at_once(stage):
    alice, bob = stage.phones("alice", "bob")
    bob.hang_up()
    alice.start("MESSAGE", bob)
    sent = alice.at
    final = await alice.comes("500 MESSAGE")
    assert final.at - sent < 1 + stage.sleeper.stalls(sent, final.at)
    assert not final["retry-after"]
