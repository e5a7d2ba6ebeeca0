"""A worker is killed or stopped while it holds what others need: answered transactions, a REGISTER, a lock.

See test_worker_death.py for the calls in setup.
"""

import os
import signal
import time

import pytest
from death import WITHIN, call, refused, repeated_if_missed
from proxy_process import until
from repeats import only_repeats
from udp_agent import Message, credentials

from shm.table import Table

T1 = 0.2
SHORT = f"\n[transaction]\nt1 = {T1}\nlinger = 1\n"


def kill_and_wait(victim, pid):
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in victim.siphond.worker_pids(), 30, "the death")


def came(phone, what, seconds):
    """How many of these come in so many seconds."""
    deadline, number = time.monotonic() + seconds, 0
    while (left := deadline - time.monotonic()) > 0:
        message = phone.receive(left)
        number += message is not None and message.is_a(what)
    return number


# --- SHARED-19: answered INVITEs


def refused_call(victim, alice, bob):
    """An INVITE that bob has refused; alice has not acknowledged."""
    invite = call(alice, bob)
    bob.respond(bob.expect("INVITE"), 486, tag="b")
    bob.expect("ACK")
    return invite, alice.expect("486 INVITE")


def test_shared_19_a_failure_is_repeated_until_its_ack_after_all_workers_died(victim, phones):
    alice, bob = phones()
    invite, final = refused_call(victim, alice, bob)
    victim.kill_all()
    assert alice.expect("486 INVITE", within=WITHIN, but=()).raw == final.raw
    alice.send(invite)
    assert alice.expect("486 INVITE", within=WITHIN, but=()).raw == final.raw
    alice.acknowledge(invite, final)
    victim.worker_of(alice)  # it has answered what came after the ACK
    list(alice.drain())
    assert came(alice, "486 INVITE", 2) <= 1, "what crossed the ACK"


def test_shared_19_a_failure_whose_ack_never_comes_ends_with_timer_h_after_all_workers_died(make, agent):
    victim = make(more=SHORT)
    alice, bob = agent(victim.siphond, "alice"), agent(victim.siphond, "bob")
    refused_call(victim, alice, bob)
    began = time.monotonic()
    victim.kill_all()
    alice.expect("486 INVITE", within=WITHIN, but=())
    time.sleep(max(0.0, began + 64 * T1 + 1 - time.monotonic()))
    list(alice.drain())
    assert came(alice, "486 INVITE", 2) == 0
    table = Table.view(victim.siphond.shared / "transactions")
    until(lambda: table.stats().records == 0, 60, "the end of all records")


def test_shared_19_an_acknowledged_failure_absorbs_repeats_after_all_workers_died(victim, phones):
    alice, bob = phones()
    invite, final = refused_call(victim, alice, bob)
    alice.acknowledge(invite, final)

    def absorbed() -> bool:
        before = len(alice.seen)
        alice.send(invite)
        victim.worker_of(alice)  # it has answered what came after the INVITE
        list(alice.drain())
        return not [message for message in alice.seen[before:] if message.is_a("486 INVITE")]

    until(absorbed, WITHIN, "that the ACK is known: another worker may have read it")
    victim.kill_all()
    list(alice.drain())
    alice.send(invite)
    alice.acknowledge(invite, final)
    alice.silence(0.5)
    bob.silence(0.1)


def test_shared_19_an_answered_call_forwards_ack_and_repeated_200_after_all_workers_died(victim, phones):
    alice, bob = phones()
    invite = call(alice, bob)
    answer = bob.respond(bob.expect("INVITE"), 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    victim.kill_all()
    bob.send(answer)
    alice.expect("200 INVITE", within=WITHIN, but=())
    alice.within(dialog, "ACK")
    bob.expect("ACK", within=WITHIN)
    list(alice.drain())
    alice.send(invite)
    bob.silence(0.5)
    assert not any(message.is_a("INVITE") for message in bob.drain())


# --- SHARED-20: client and non-INVITE transactions


def test_shared_20_a_repeated_failure_is_acknowledged_by_another_worker(victim, phones):
    alice, bob = phones()
    invite = call(alice, bob)
    refusal = bob.respond(bob.expect("INVITE"), 486, tag="b")
    first = bob.expect("ACK")
    refused(alice, invite, 486)
    victim.kill_all()
    bob.send(refusal)
    again = until(lambda: bob.receive(0.5), WITHIN, "an ACK")
    assert again.raw == first.raw


def test_shared_20_a_request_that_nobody_answers_is_repeated_on_its_branch_then_answered(victim, phones):
    alice, bob = phones()
    pid = victim.worker_of(alice)
    call(alice, bob, method="MESSAGE")
    first = bob.expect("MESSAGE")
    kill_and_wait(victim, pid)
    again = until(lambda: bob.receive(0.5), WITHIN, "a repeat")
    assert again.raw == first.raw
    bob.respond(first, 200, tag="b")
    alice.expect("200 MESSAGE", within=WITHIN, but=("100 MESSAGE",))


def test_shared_20_a_repeated_request_gets_its_answer_from_another_worker(victim, phones):
    alice, bob = phones()
    message = call(alice, bob, method="MESSAGE")
    bob.respond(bob.expect("MESSAGE"), 200, tag="b")
    final = alice.expect("200 MESSAGE")
    only_repeats(bob)
    victim.kill_all()
    alice.send(message)
    assert alice.expect("200 MESSAGE", within=WITHIN, but=()).raw == final.raw
    bob.silence(0.2)


# --- SHARED-22: REGISTER


class Registering:
    """A phone that has been challenged and sends its REGISTER with credentials again and again."""

    def __init__(self, phone):
        self.phone = phone
        assert phone.register().status == 200
        self.before = phone.sent[-1]

    def next(self):
        """The refresh: a new transaction and CSeq; the nonce has been used once, so a 401 would be in order."""
        uri, to = "sip:example.com", f"<sip:{self.phone.user}@example.com>"
        phone = self.phone
        sent = Message.parse(self.before, phone.address)
        challenge = phone.request(
            "REGISTER",
            uri,
            cseq=10,
            call_id=sent["call-id"],
            local=sent["from"],
            remote=to,
            extra=[f"Contact: {phone.contact}", "Expires: 500"],
        )
        phone.send(challenge)
        answer = phone.answer_to("10 REGISTER")
        given = credentials(answer["www-authenticate"], phone.user, "secret", "REGISTER", uri)
        return phone.request(
            "REGISTER",
            uri,
            cseq=11,
            call_id=sent["call-id"],
            local=sent["from"],
            remote=to,
            extra=[f"Contact: {phone.contact}", "Expires: 500", f"Authorization: {given}"],
        )


def bound_once(phone, request):
    """The repeat gets 200 with the one binding, and so says the registrar."""
    phone.send(request)
    answer = phone.answer_to("11 REGISTER", within=WITHIN)
    assert answer.status == 200
    assert [phone.uri in contact for contact in answer.all("contact")].count(True) == 1
    assert phone.bindings().count(phone.uri) == 1


@pytest.mark.parametrize("point", ["register", "saved"])
def test_shared_22_a_register_whose_handler_died_is_answered_and_binds_once(victim, agent, point):
    """Before save() and after it: the handler runs again in another worker."""
    bob = agent(victim.siphond, "bob")
    request = Registering(bob).next()
    trap = victim.trap(point)
    bob.send(request)
    trap.kill()
    answer = bob.answer_to("11 REGISTER", within=WITHIN)
    assert answer.status == 200
    assert bob.bindings() == [bob.uri]


@pytest.mark.parametrize(("call_of_the_system", "moment"), [("recvmmsg", "after"), ("sendmmsg", "before")])
@repeated_if_missed
def test_shared_22_the_repeat_of_a_register_that_died_unanswered_gets_200(victim, agent, call_of_the_system, moment):
    """Read and nothing committed; or all committed and the 200 not sent: no 401, and no word about its CSeq."""
    bob = agent(victim.siphond, "bob")
    request = Registering(bob).next()
    with victim.traced(bob, call_of_the_system, moment) as tracer:
        bob.send(request)
        tracer.caught()
    bob.silence(0.1)
    bound_once(bob, request)


# --- SHARED-23: locks


@pytest.mark.parametrize("moment", ["before", "after"])
@repeated_if_missed
def test_shared_23_the_lock_of_a_killed_worker_is_free_at_once(victim, agent, phones, moment):
    """The 180 is committed under the record's lock, and the worker is killed before or after it has left. The record is
    the new one: the 200 goes up, and a repeated INVITE gets an answer."""
    alice, bob = phones()
    invite = call(alice, bob)
    offered = bob.expect("INVITE")
    with victim.traced(bob, "sendmmsg", moment) as tracer:
        bob.respond(offered, 180, tag="b")
        tracer.caught()
    list(alice.drain())
    alice.send(invite)
    alice.expect("180 INVITE", within=WITHIN, but=("100 INVITE",))
    bob.respond(offered, 200, tag="b")
    alice.expect("200 INVITE", within=WITHIN, but=("180 INVITE", "100 INVITE"))
    assert sound(victim)


@repeated_if_missed
def test_shared_23_the_lock_of_a_stopped_worker_is_free_within_a_second_and_nobody_else_waits(
    victim, agent, phones, sleeper
):
    alice, bob = phones()
    invite = call(alice, bob)
    offered = bob.expect("INVITE")
    others = [agent(victim.siphond, f"other{number}") for number in range(12)]
    with victim.traced(bob, "sendmmsg", "before", hold=True) as tracer:
        bob.respond(offered, 180, tag="b")
        tracer.caught()
        began, since = time.monotonic(), time.time()
        longest = 0.0
        for other in others:
            asked = time.monotonic()
            other.send(other.request("OPTIONS", "sip:example.com"))
            other.expect("200 OPTIONS")
            longest = max(longest, time.monotonic() - asked)
        list(alice.drain())
        alice.send(invite)
        alice.expect("180 INVITE", within=1 + WITHIN, but=("100 INVITE",))
        freed = time.monotonic() - began
        until(lambda: tracer.pid not in victim.siphond.worker_pids(), 30, "the end of the stopped worker")
    print(f"others waited {longest * 1000:.0f} ms at most; the lock was free after {freed:.2f} s")
    assert longest < 1.0 + sleeper.slack(since)
    bob.respond(offered, 200, tag="b")
    alice.expect("200 INVITE", within=WITHIN, but=("180 INVITE", "100 INVITE"))
    assert sound(victim)


def sound(victim):
    """No record is damaged, no block lost; asked again while somebody works."""
    table = Table.attach(victim.siphond.shared / "transactions")
    try:
        return until(lambda: table.verify().sound, 30, "a sound table")
    finally:
        table.close()
