"""A worker is killed at an exact place of a call, and the call ends as it should, within T_take.

Places inside of handlers are traps of the script (death.py); those between two steps of a commit are system calls
(tracer.py).
"""

import os
import re
import signal
import time

import pytest
from death import WITHIN, answered, branches, call, goes_through, refused, repeated_if_missed
from proxy_process import until
from tracer import Missed

T1 = 0.2
SHORT = f"\n[transaction]\nt1 = {T1}\n"


def ringing(alice, bob, *others, extra=()):
    """The INVITE that alice has sent, and what bob got and answers with 180."""
    invite = call(alice, bob, *others, extra=extra)
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    return invite, offered


def kill_and_wait(victim, pid):
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in victim.siphond.worker_pids(), 30, "the death")


# --- SHARED-12: read, nothing committed


@repeated_if_missed
def test_shared_12_an_invite_that_died_with_its_reader_is_served_when_it_is_repeated(victim, phones):
    alice, bob = phones()
    with victim.traced(alice, "recvmmsg", "after") as tracer:
        invite = call(alice, bob)
        tracer.caught()
    if bob.receive(0.3) is not None:
        raise Missed("it was another datagram that the worker had read")
    alice.send(invite)
    answered(alice, bob, bob.expect("INVITE", within=WITHIN))
    assert len(branches(bob)) == 1


# --- SHARED-13: while the script runs


def test_shared_13_a_script_that_died_runs_again_and_the_caller_has_its_100_meanwhile(victim, phones):
    alice, bob = phones()
    trap = victim.trap("request")
    call(alice, bob)
    alice.expect("100 INVITE", but=())
    trap.kill()
    answered(alice, bob, bob.expect("INVITE", within=WITHIN))
    assert len(branches(bob)) == 1


def test_shared_13_a_script_that_kills_every_worker_is_answered_500(victim, phones):
    alice, bob = phones()
    trap = victim.trap("request")
    invite = call(alice, bob)
    for _ in range(3):
        trap.kill(again=True)
    refused(alice, invite, 500)
    (victim.place / "request").unlink()
    bob.silence(0.2)


@pytest.mark.parametrize("moment", ["before", "after"])
@repeated_if_missed
def test_shared_13_a_target_that_was_called_by_the_dead_worker_is_not_called_by_another_branch(victim, phones, moment):
    """The outcome of the script is committed, and the INVITE has not left, or it has."""
    alice, bob = phones()
    with victim.traced(alice, "sendmmsg", moment) as tracer:
        call(alice, bob)
        tracer.caught()
    answered(alice, bob, bob.expect("INVITE", within=WITHIN))
    assert len(branches(bob)) == 1


# --- SHARED-14: calling


def test_shared_14_an_invite_that_nobody_answers_is_repeated_on_the_same_branch_then_answered(victim, phones):
    alice, bob = phones()
    pid = victim.worker_of(alice)
    call(alice, bob)
    first = bob.expect("INVITE")
    kill_and_wait(victim, pid)
    began = time.monotonic()
    for _ in range(2):
        until(lambda: (bob.receive(0.5) or first).raw == first.raw and len(bob.seen) > 1, WITHIN, "a repeat")
    assert time.monotonic() - began < 1.5 + 2 * WITHIN
    assert {message.raw for message in bob.seen if message.is_a("INVITE")} == {first.raw}
    bob.respond(first, 180, tag="b")
    alice.expect("180 INVITE", within=WITHIN)
    answered(alice, bob, first)


def test_shared_14_a_silent_callee_is_408_in_time_after_its_worker_died(make, agent):
    victim = make(more=SHORT)
    alice, bob = agent(victim.siphond, "alice"), agent(victim.siphond, "bob")
    pid = victim.worker_of(alice)
    began = time.monotonic()
    invite = call(alice, bob)
    bob.expect("INVITE")
    kill_and_wait(victim, pid)
    final = alice.expect("408 INVITE", within=64 * T1 + WITHIN)
    assert time.monotonic() - began >= 64 * T1 - 0.1
    alice.acknowledge(invite, final)
    assert len(branches(bob)) == 1


# --- SHARED-15: ringing


@pytest.mark.parametrize("status", [200, 486])
def test_shared_15_the_answer_of_a_ringing_phone_is_forwarded_by_another_worker(victim, phones, status):
    alice, bob = phones()
    pid = victim.worker_of(bob)
    invite, offered = ringing(alice, bob)
    kill_and_wait(victim, pid)
    if status == 200:
        answered(alice, bob, offered)
    else:
        bob.respond(offered, 486, tag="b")
        bob.expect("ACK", within=WITHIN)
        refused(alice, invite, 486)


def test_shared_15_a_ringing_call_is_cancelled_after_all_workers_died(victim, phones):
    alice, bob = phones()
    invite, offered = ringing(alice, bob)
    victim.kill_all()
    alice.cancel(invite)
    alice.expect("200 CANCEL", within=WITHIN)
    bob.respond(bob.expect("CANCEL", within=WITHIN), 200, tag="b")
    bob.respond(offered, 487, tag="b")
    bob.expect("ACK", within=WITHIN)
    refused(alice, invite, 487)


@pytest.mark.parametrize("what", ["Timer C", "timeout of the script"])
def test_shared_15_a_phone_that_rings_too_long_is_given_up_after_all_workers_died(make, agent, what):
    victim = make(more="\n[transaction]\ntimer_c = 4\n")
    alice, bob = agent(victim.siphond, "alice"), agent(victim.siphond, "bob")
    invite, offered = ringing(alice, bob, extra=["X-Ring: 3"] if what != "Timer C" else [])
    victim.kill_all()
    bob.respond(bob.expect("CANCEL", within=4 + WITHIN), 200, tag="b")
    bob.respond(offered, 487, tag="b")
    bob.expect("ACK", within=WITHIN)
    refused(alice, invite, 408)


# --- SHARED-16: between two targets


@pytest.mark.parametrize("point", ["reply", "failure"])
def test_shared_16_the_next_target_is_called_when_the_worker_dies_inside_of_a_handler(victim, phones, agent, point):
    alice, bob = phones()
    carol = agent(victim.siphond, "carol")
    trap = victim.trap(point)
    call(alice, bob, extra=[f"X-Next: {carol.uri}"])
    bob.respond(bob.expect("INVITE"), 486, tag="b")
    bob.expect("ACK", within=WITHIN)
    trap.kill()
    answered(alice, carol, carol.expect("INVITE", within=WITHIN))
    assert len(branches(carol)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@repeated_if_missed
def test_shared_16_the_second_group_follows_when_the_worker_dies_with_the_failure_of_the_first(
    victim, phones, agent, moment
):
    """Its ACK has left, and on_reply has not run; or the ACK has not left either, and bob repeats himself."""
    alice, bob = phones()
    carol = agent(victim.siphond, "carol")
    call(alice, bob, carol, extra=["X-Strategy: sequential"])
    offered = bob.expect("INVITE")
    with victim.traced(bob, "sendmmsg", moment) as tracer:
        refusal = bob.respond(offered, 486, tag="b")
        tracer.caught()
    answered(alice, carol, carol.expect("INVITE", within=WITHIN))
    assert len(branches(carol)) == 1
    bob.send(refusal)
    bob.expect("ACK", within=WITHIN, but=())


# --- SHARED-17: acknowledged, not sent up


@pytest.mark.parametrize("place", ["sendmmsg", "reply"])
@repeated_if_missed
def test_shared_17_a_failure_that_was_acknowledged_goes_up(victim, phones, place):
    """The callee will not repeat what was acknowledged."""
    alice, bob = phones()
    invite = call(alice, bob)
    offered = bob.expect("INVITE")
    if place == "reply":
        trap = victim.trap("reply")
        bob.respond(offered, 486, tag="b")
        bob.expect("ACK")
        trap.kill()
    else:
        with victim.traced(bob, "sendmmsg", "after") as tracer:
            bob.respond(offered, 486, tag="b")
            tracer.caught()
        bob.expect("ACK")
    killed = time.monotonic()
    refused(alice, invite, 486)
    print(f"went up {time.monotonic() - killed:.2f} s after the death")
    assert time.monotonic() - killed < WITHIN


# --- SHARED-18: a 200 read


@repeated_if_missed
def test_shared_18_a_200_that_died_with_its_reader_goes_up_when_it_is_repeated(victim, phones):
    alice, bob = phones()
    _, offered = ringing(alice, bob)
    with victim.traced(bob, "recvmmsg", "after") as tracer:
        answer = bob.respond(offered, 200, tag="b")
        tracer.caught()
    bob.send(answer)
    goes_through(alice, bob)


# --- SHARED-21: CANCEL


@repeated_if_missed
def test_shared_21_cancels_leave_when_the_worker_dies_right_after_the_200_to_the_cancel(make, agent):
    """The phones are reached by another socket than the caller, so the 200 and the CANCELs are two system calls."""
    victim = make(listen='"127.0.0.1:{port}", "127.0.0.2:{port}"')
    alice, bob = agent(victim.siphond, "alice"), agent(("127.0.0.2", victim.siphond.port), "bob", ip="127.0.0.2")
    invite, offered = ringing(alice, bob, extra=[f"X-Socket: udp:127.0.0.2:{victim.siphond.port}"])
    with victim.traced(alice, "sendmmsg", "after") as tracer:
        alice.cancel(invite)
        tracer.caught()
    alice.expect("200 CANCEL")
    cancel = bob.expect("CANCEL", within=WITHIN)
    bob.respond(cancel, 200, tag="b")
    bob.respond(offered, 487, tag="b")
    bob.expect("ACK", within=WITHIN)
    refused(alice, invite, 487)
    assert re.search(r"branch=(\S+?);", cancel["via"] + ";")[1] in offered["via"]


@repeated_if_missed
def test_shared_21_a_cancel_that_died_unanswered_is_answered_when_repeated_and_ends_the_call(victim, phones):
    alice, bob = phones()
    invite, offered = ringing(alice, bob)
    with victim.traced(alice, "sendmmsg", "before") as tracer:
        cancel = alice.cancel(invite)
        tracer.caught()
    alice.send(cancel)
    alice.expect("200 CANCEL", within=WITHIN)
    bob.respond(bob.expect("CANCEL", within=WITHIN), 200, tag="b")
    bob.respond(offered, 487, tag="b")
    bob.expect("ACK", within=WITHIN)
    refused(alice, invite, 487)
