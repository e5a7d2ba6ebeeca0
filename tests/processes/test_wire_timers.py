"""Schedules of Timers A to K by default values, at one and at four workers. See side_by_side.py."""

INVITE_CLIENT = [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
INVITE_SERVER = [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
NON_INVITE = INVITE_SERVER
LIFE = 32
"""64 T1: Timers B, F, H, J, L and M."""


async def test_txn_07_shared_08_prx_50_a_silent_phone_gets_7_equal_invites_and_the_caller_408(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    first = await bob.comes("INVITE")
    final = await alice.comes("408 INVITE", within=40)
    stage.on_time([final.at - first.at], [LIFE], first.at)
    alice.acknowledge(invite, final)
    await stage.until(first.at + 37)
    stage.on_time(bob.times("INVITE", first.at), INVITE_CLIENT, first.at)
    assert bob.distinct() == ["INVITE"], "all copies are the same bytes"
    assert alice.distinct() == ["100 INVITE", "408 INVITE"]


async def test_txn_02_shared_08_a_failure_without_ack_is_sent_11_times(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.invite(bob)
    bob.respond(await bob.comes("INVITE"), 486, tag="b")
    final = await alice.comes("486 INVITE")
    await stage.until(final.at + 38)
    stage.on_time(alice.times("486 INVITE", final.at), INVITE_SERVER, final.at)
    assert alice.distinct() == ["100 INVITE", "486 INVITE"]
    assert bob.distinct() == ["INVITE", "ACK"]


async def test_txn_11_txn_20_shared_08_a_silent_phone_gets_11_equal_requests_and_nobody_a_408(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.start("MESSAGE", bob)
    first = await bob.comes("MESSAGE")
    await stage.until(first.at + 40)
    stage.on_time(bob.times("MESSAGE", first.at), NON_INVITE, first.at)
    assert bob.distinct() == ["MESSAGE"]
    assert alice.distinct() == ["100 MESSAGE"], "no final answer is made up"


async def test_txn_21_a_request_that_takes_long_gets_100_after_3_5_seconds_and_no_other_provisional(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.start("MESSAGE", bob)
    sent = alice.at
    offered = await bob.comes("MESSAGE")
    bob.respond(offered, 100)
    bob.respond(offered, 183, tag="b")
    trying = await alice.comes("100 MESSAGE")
    stage.on_time([trying.at - sent], [3.5], sent)
    bob.respond(offered, 200, tag="b")
    await alice.comes("200 MESSAGE")
    assert alice.distinct() == ["100 MESSAGE", "200 MESSAGE"]


async def test_txn_21_a_request_that_is_answered_at_once_gets_no_100(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.start("MESSAGE", bob)
    offered = await bob.comes("MESSAGE")
    await stage.until(alice.at + 2)
    bob.respond(offered, 200, tag="b")
    await alice.comes("200 MESSAGE")
    await stage.until(bob.at + 5)
    assert alice.distinct() == ["200 MESSAGE"]
