"""INVITE transactions on the wire, by default timers. See side_by_side.py."""

from side_by_side import TIMER_C
from udp_agent import Message


async def answered(stage, alice, bob):
    """A call to its 200; the INVITE, bob's 200 and alice's dialog."""
    invite = alice.invite(bob)
    answer = bob.respond(await bob.comes("INVITE"), 200, tag="b")
    return invite, answer, alice.dialog(await alice.comes("200 INVITE"))


async def test_txn_01_an_invite_gets_100_within_200_ms_and_repeats_the_last_provisional(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    sent = alice.at
    trying = await alice.comes("100 INVITE")
    assert trying.at - sent < 0.2 + 0.06 + stage.sleeper.stalls(sent, trying.at)
    alice.send(invite)
    await alice.comes("100 INVITE", but=[])
    offered = await bob.comes("INVITE")
    bob.respond(offered, 180, tag="b")
    ringing = await alice.comes("180 INVITE")
    for _ in range(5):
        alice.send(invite)
        assert (await alice.comes("180 INVITE", but=[])).raw == ringing.raw
    assert bob.distinct() == ["INVITE"]
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, await alice.comes("486 INVITE", but=[]))


async def test_txn_03_shared_07_the_ack_of_a_failure_ends_its_repeats_and_goes_no_further(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    bob.respond(await bob.comes("INVITE"), 486, tag="b")
    final = await alice.comes("486 INVITE")
    await stage.until(final.at + 1)
    alice.send(invite)
    await stage.until(final.at + 1.2)
    assert len(alice.came("486 INVITE")) == 3, "one by Timer G, one for the repeated INVITE"
    alice.acknowledge(invite, final)
    acknowledged = alice.at
    for _ in range(2):
        await stage.until(alice.at + 0.3)
        alice.acknowledge(invite, final)
    await stage.until(alice.at + 0.3)
    alice.send(invite)
    await stage.until(final.at + 8)
    assert len([at for at in alice.times("486 INVITE", acknowledged) if at > 0]) <= 1, "one copy may cross the ACK"
    assert alice.distinct() == ["100 INVITE", "486 INVITE"]
    assert bob.distinct() == ["INVITE", "ACK"] and len(bob.came("ACK")) == 1


async def test_txn_04_an_invite_repeated_after_the_200_is_absorbed_for_32_seconds(stage):
    alice, bob = stage.phones("alice", "bob")
    invite, answer, _ = await answered(stage, alice, bob)
    began = bob.at
    for at in (0.5, 8, 16, 31):
        await stage.until(began + at)
        alice.send(invite)
    await stage.until(began + 31.5)
    assert alice.distinct() == ["100 INVITE", "200 INVITE"] and len(alice.came("200 INVITE")) == 1
    assert bob.distinct() == ["INVITE"]
    bob.send(answer)
    await alice.comes("200 INVITE")


async def test_txn_10_every_repeated_200_passes_for_32_seconds_and_later_ones_are_strays(stage):
    alice, bob = stage.phones("alice", "bob")
    _, answer, _ = await answered(stage, alice, bob)
    began = bob.at
    offered = bob.came("INVITE")[0]
    for at in (0.5, 12, 31):
        await stage.until(began + at)
        bob.send(answer)
        await alice.comes("200 INVITE")
    bob.respond(offered, 486, tag="b")
    await stage.until(began + 34)
    bob.send(answer)
    await stage.until(began + 36)
    assert alice.distinct() == ["100 INVITE", "200 INVITE"] and len(alice.came("200 INVITE")) == 4
    assert bob.distinct() == ["INVITE"], "the proxy acknowledges no 200, and no failure after it"


async def test_txn_08_any_provisional_ends_the_repeats_and_timer_b(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    await stage.until(offered.at + 0.7)
    bob.respond(offered, 100)
    await stage.until(offered.at + 33)
    stage.on_time(bob.times("INVITE", offered.at), [0, 0.5], offered.at)
    assert alice.distinct() == ["100 INVITE"], "no 408 at 32 s: Timer C counts"
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, await alice.comes("486 INVITE"))


async def test_txn_08_a_final_answer_in_calling_ends_the_repeats(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    await stage.until(offered.at + 0.7)
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, await alice.comes("486 INVITE"))
    await stage.until(offered.at + 5)
    stage.on_time(bob.times("INVITE", offered.at), [0, 0.5], offered.at)
    assert bob.distinct() == ["INVITE", "ACK"]


async def test_txn_09_every_copy_of_a_failure_gets_the_same_ack_for_32_seconds(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob, extra=["Require: foo", "Proxy-Require:"])
    offered = await bob.comes("INVITE")
    refusal = bob.respond(offered, 486, tag="b")
    final = await alice.comes("486 INVITE")
    alice.acknowledge(invite, final)
    ack = await bob.comes("ACK")
    for at in (0.5, 12, 31):
        await stage.until(final.at + at)
        bob.send(refusal)
        assert (await bob.comes("ACK")).raw == ack.raw
    assert len(alice.came("486 INVITE")) == 1, "nothing goes up again"
    looks_like_the_ack_of(offered, ack)
    assert ack["to"] == final["to"] and not ack["require"]


def looks_like_the_ack_of(invite: Message, ack: Message) -> None:
    assert ack.uri == invite.uri
    assert ack.all("via") == invite.all("via")[:1]
    assert [ack[name] for name in ("from", "call-id", "route")] == [
        invite[name] for name in ("from", "call-id", "route")
    ]
    assert ack["cseq"] == invite["cseq"].split()[0] + " ACK"
    assert ack["max-forwards"] and not ack.body


async def test_prx_55_timer_c_is_restarted_by_provisionals_but_not_by_100_and_its_487_counts_as_408(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    bob.respond(offered, 180, tag="b")
    await alice.comes("180 INVITE")
    await stage.until(offered.at + 8)
    bob.respond(offered, 183, tag="b")
    restarted = (await alice.comes("183 INVITE")).at
    await stage.until(offered.at + 16)
    bob.respond(offered, 100)
    cancel = await bob.comes("CANCEL", within=40)
    stage.on_time([cancel.at - restarted], [TIMER_C], restarted)
    bob.respond(cancel, 200, tag="b")
    bob.respond(offered, 487, tag="b")
    await bob.comes("ACK")
    alice.acknowledge(invite, await alice.comes("408 INVITE"))


async def test_prx_55_a_phone_that_ignores_the_cancel_of_timer_c_is_given_up_after_32_seconds_more(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.invite(bob)
    offered = await bob.comes("INVITE")
    bob.respond(offered, 180, tag="b")
    ringing = (await alice.comes("180 INVITE")).at
    cancel = await bob.comes("CANCEL", within=40)
    final = await alice.comes("408 INVITE", within=40)
    stage.on_time([cancel.at - ringing, final.at - cancel.at], [TIMER_C, 32], ringing)
    alice.acknowledge(invite, final)
    assert len(bob.came("CANCEL")) in (10, 11), "as any request without an answer"
