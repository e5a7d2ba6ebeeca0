"""SHARED-32: N-B dies by kill -9 with calls in it, its address moves to N-A, and N-A goes on with them.

One death for many calls: each test has its calls brought to a point, then N-B dies, then the calls go on. A node's
lease is 3 s, so timers go on after some 3 to 4 s; what a message brings about does not wait for that.
"""

import pytest
from repeats import acknowledged
from two_nodes import FAILOVER_SECS, A, B, two_nodes


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with two_nodes(tmp_path_factory.mktemp("nodes")) as pair:
        yield pair


@pytest.fixture
def pair(both):
    both.revive()
    yield both
    both.close_agents()
    assert both.complaints() == []


def offered(pair, user="bob"):
    """An INVITE through N-B that its callee has not answered yet."""
    bob = pair.registered(user)
    alice = pair.agent(B, "alice")
    invite = alice.send(alice.request("INVITE", f"sip:{user}@example.com"))
    return alice, bob, invite, bob.expect("INVITE")


def ringing(pair, user="bob"):
    alice, bob, invite, offer = offered(pair, user)
    bob.respond(offer, 180, tag="b")
    alice.expect("180 INVITE")
    return alice, bob, invite, offer


def answered(pair, user="bob"):
    """The 200 has reached alice; her ACK has not left."""
    alice, bob, invite, offer = ringing(pair, user)
    bob.respond(offer, 200, tag="b")
    return alice, bob, alice.dialog(alice.expect("200 INVITE")), offer


def goes_on(alice, bob, dialog):
    """ACK and BYE of an answered call."""
    alice.within(dialog, "ACK")
    bob.expect("ACK", within=FAILOVER_SECS)
    bye = alice.within(dialog, "BYE")
    got = bob.receive(3) or alice.send(bye) and bob.receive(FAILOVER_SECS)
    assert got is not None and got.is_a("BYE")
    bob.respond(got, 200)
    alice.expect("200 BYE", within=FAILOVER_SECS, but=("200 INVITE",))


def test_shared_32_calling_the_invite_is_repeated_with_the_same_branch_and_the_answers_pass(pair):
    alice, bob, invite, offer = offered(pair)
    pair.die_and_fail_over()
    again = bob.receive(FAILOVER_SECS)
    assert again is not None and again.raw == offer.raw, "Timer A"
    assert again.source == pair.address(B)
    bob.respond(offer, 180, tag="b")
    alice.expect("180 INVITE", within=FAILOVER_SECS)
    bob.respond(offer, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE", within=FAILOVER_SECS, but=("180 INVITE",)))
    goes_on(alice, bob, dialog)


def test_shared_32_ringing_the_200_and_a_refusal_reach_the_callers(pair):
    alice, bob, _, offer = ringing(pair)
    dan, carol, invite, other = ringing(pair, "carol")
    pair.die_and_fail_over()
    bob.respond(offer, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE", within=FAILOVER_SECS))
    carol.respond(other, 486, tag="b")
    carol.expect("ACK", within=FAILOVER_SECS)
    dan.acknowledge(invite, dan.expect("486 INVITE", within=FAILOVER_SECS))
    goes_on(alice, bob, dialog)


def test_shared_32_a_200_that_came_while_nobody_had_the_address_is_forwarded_when_it_comes_again(pair):
    alice, bob, _, offer = ringing(pair)
    pair.die()
    bob.respond(offer, 200, tag="b")
    pair.fail_over()
    bob.respond(offer, 200, tag="b")
    goes_on(alice, bob, alice.dialog(alice.expect("200 INVITE", within=FAILOVER_SECS)))


def test_shared_32_answered_and_not_acknowledged_the_ack_and_the_repeated_200_pass(pair):
    alice, bob, dialog, offer = answered(pair)
    pair.die_and_fail_over()
    bob.respond(offer, 200, tag="b")
    assert alice.expect("200 INVITE", within=FAILOVER_SECS).tag("to") == "b"
    goes_on(alice, bob, dialog)


def test_shared_32_a_failure_that_was_sent_up_is_repeated_until_its_ack(pair):
    alice, bob, invite, offer = offered(pair)
    bob.respond(offer, 486, tag="b")
    bob.expect("ACK")
    busy = alice.expect("486 INVITE")
    pair.die_and_fail_over()
    again = alice.receive(FAILOVER_SECS)
    assert again is not None and again.raw == busy.raw, "Timer G"
    bob.respond(offer, 486, tag="b")
    ack = bob.receive(FAILOVER_SECS)
    assert ack is not None and ack.is_a("ACK"), "of a failure that came again"
    acknowledged(alice, invite, busy, 5)


def test_shared_32_cancelled_before_it_died_the_callee_is_told_and_the_caller_has_his_487(pair):
    alice, bob, invite, offer = offered(pair)
    alice.cancel(invite)  # the branch has had no 1xx: its CANCEL waits
    alice.expect("200 CANCEL")
    pair.die_and_fail_over()
    bob.respond(offer, 180, tag="b")
    cancel = bob.expect("CANCEL", within=FAILOVER_SECS)
    bob.respond(cancel, 200)
    bob.respond(offer, 487, tag="b")
    bob.expect("ACK", within=FAILOVER_SECS)
    alice.acknowledge(invite, alice.expect("487 INVITE", within=FAILOVER_SECS))


def test_shared_32_cancel_after_it_died(pair):
    alice, bob, invite, offer = ringing(pair)
    pair.die_and_fail_over()
    alice.cancel(invite)
    alice.expect("200 CANCEL", within=FAILOVER_SECS, but=("487 INVITE",))
    bob.respond(bob.expect("CANCEL", within=FAILOVER_SECS), 200)
    bob.respond(offer, 487, tag="b")
    bob.expect("ACK", within=FAILOVER_SECS)
    alice.acknowledge(invite, alice.expect("487 INVITE", within=FAILOVER_SECS))


def test_shared_32_a_message_that_waits_for_its_answer_is_repeated_and_answered(pair):
    bob, alice = pair.registered(), pair.agent(B, "alice")
    message = alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    first = bob.expect("MESSAGE")
    pair.die_and_fail_over()
    again = bob.receive(FAILOVER_SECS)
    assert again is not None and again.raw == first.raw, "Timer E"
    bob.respond(first, 202)
    alice.expect("202 MESSAGE", within=FAILOVER_SECS)
    alice.send(message)
    alice.expect("202 MESSAGE", within=FAILOVER_SECS)


def test_shared_32_a_call_in_progress_is_hung_up_from_either_side(pair):
    alice, bob, dialog, offer = answered(pair)
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    theirs = bob.dialog_of_callee(offer, "b")
    pair.die_and_fail_over()
    bob.within(theirs, "BYE")
    alice.respond(alice.expect("BYE", within=FAILOVER_SECS), 200)
    bob.expect("200 BYE", within=FAILOVER_SECS)


def test_shared_32_a_silent_callee_is_a_408_at_timer_b_all_the_same(pair):
    alice, bob, invite, offer = offered(pair)
    pair.die_and_fail_over()
    failed = alice.expect("408 INVITE", within=32 + FAILOVER_SECS)
    alice.acknowledge(invite, failed)
    assert {message.raw for message in bob.drain()} <= {offer.raw}


def test_shared_32_new_calls_and_registrations_go_on_at_the_other_node(pair):
    bob = pair.registered()
    pair.die_and_fail_over()
    assert bob.register().status == 200
    carol = pair.agent(A, "carol")
    assert carol.register().status == 200
    alice = pair.agent(B, "alice")
    invite = alice.send(alice.request("INVITE", "sip:carol@example.com"))
    carol.respond(carol.expect("INVITE", within=FAILOVER_SECS), 603, tag="c")
    alice.acknowledge(invite, alice.expect("603 INVITE", within=FAILOVER_SECS))
