"""The same message at two workers at once, and workers whose handlers block, on the wire.

With "spread" each datagram goes to a worker by chance: two copies sent in a row are at two different workers in three
of four cases, within microseconds.
"""

import os
import re
import signal
import time

import pytest
from proxy_process import Siphond, until
from side_by_side import SCRIPT
from udp_agent import unique

TIMES = 1000
ROUNDS = 150
MILLION = 1_000_000
VALUES = 400
"""Nonces of an answer, and as many ICIDs: what a datagram holds."""

WAITING = """
import asyncio
import time
from siphon import proxy

@proxy.on_request
async def route(request):
    if request.method == "OPTIONS":
        request.reply(200)
        return
    if request.has_header("X-Block"):
        time.sleep(float(request.get_header("X-Block")))
    await asyncio.sleep(float(request.get_header("X-Await") or 0))
    request.relay(request.get_header("X-Target"))
"""


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    made = Siphond(tmp_path_factory.mktemp("spread"), workers=4, steering="spread", script=SCRIPT)
    yield made.start()
    assert made.restarts() == 0
    made.close()


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """Its handler blocks or awaits as a request says."""
    made = Siphond(tmp_path_factory.mktemp("waiting"), workers=4, steering="flow", script=WAITING)
    yield made.start()
    assert made.restarts() == 0
    made.close()


def to(*phones):
    return [f"X-Targets: {','.join(phone.uri for phone in phones)}"]


def final_of(caller, call, *statuses):
    """The final answer of this call; what is left of earlier ones is passed over."""
    while (answer := caller.receive(15)) is not None:
        if answer["call-id"] == call and answer.status >= 200:
            assert answer.status in statuses, answer
            return answer
    raise AssertionError(f"no final answer to {call}")


def begin(caller, method, *phones):
    """Sends a request to these phones; it and its Call-ID."""
    call = unique("race")
    return caller.send(caller.request(method, "sip:x@example.com", call_id=call, extra=to(*phones))), call


def test_shared_02_an_invite_at_two_workers_at_once_is_forwarded_once(spread, agent):
    alice, bob = agent(spread, "alice"), agent(spread, "bob")
    calls = set()
    for _ in range(TIMES):
        invite, call = begin(alice, "INVITE", bob)
        alice.send(invite)
        calls.add(call)
        offered = bob.expect("INVITE", but=["ACK"])
        assert offered["call-id"] == call
        bob.respond(offered, 486, tag="b")
        alice.acknowledge(invite, final_of(alice, call, 486))
    bob.expect("ACK")
    list(bob.drain())
    vias = {(message["call-id"], message["via"]) for message in bob.seen}
    assert len(vias) == TIMES and {call for call, _ in vias} == calls, "one branch a call"


def test_shared_02_reg_14_a_register_at_two_workers_at_once_is_applied_once(spread, agent):
    bob = agent(spread, "bob")
    for _ in range(TIMES):
        call, aor = unique("twice"), f"<sip:{unique('user')}@example.com>"
        lines = [f"Contact: {bob.contact}", "Expires: 600"]
        register = bob.request(
            "REGISTER", "sip:example.com", call_id=call, local=f"{aor};tag=r", remote=aor, extra=lines
        )
        bob.send(register)
        bob.send(register)
        assert len(final_of(bob, call, 200).all("contact")) == 1
    list(bob.drain())
    assert {message.status for message in bob.seen} - {100} == {200}, "the second is a repeat, no CSeq out of order"
    assert len({message["call-id"] for message in bob.seen}) == TIMES


def test_shared_04_prx_47_the_last_two_failures_at_once_give_one_final_and_the_better_of_both(spread, agent):
    alice, desk, mobile = agent(spread, "alice"), agent(spread, "desk"), agent(spread, "mobile")
    for _ in range(ROUNDS):
        invite, call = begin(alice, "INVITE", desk, mobile)
        at_desk, at_mobile = desk.expect("INVITE", but=["ACK"]), mobile.expect("INVITE", but=["ACK"])
        desk.respond(at_desk, 503, tag="desk")
        mobile.respond(at_mobile, 404, tag="mobile")
        alice.acknowledge(invite, final_of(alice, call, 404))
    list(alice.drain())
    assert {message.status for message in alice.seen} == {100, 404}


def test_shared_04_prx_45_two_200s_of_a_message_at_once_give_one_final(spread, agent):
    alice, desk, mobile = agent(spread, "alice"), agent(spread, "desk"), agent(spread, "mobile")
    for _ in range(ROUNDS):
        _, call = begin(alice, "MESSAGE", desk, mobile)
        at_desk, at_mobile = desk.expect("MESSAGE"), mobile.expect("MESSAGE")
        desk.respond(at_desk, 200, tag="desk")
        mobile.respond(at_mobile, 202, tag="mobile")
        final_of(alice, call, 200, 202)
    alice.silence(0.3)
    assert len([message for message in alice.seen if message.status >= 200]) == ROUNDS


def test_shared_05_prx_44_two_200s_at_once_are_both_forwarded_and_each_loser_is_cancelled_once(spread, agent):
    alice, desk, mobile, cell = (agent(spread, name) for name in ("alice", "desk", "mobile", "cell"))
    for _ in range(ROUNDS):
        _, call = begin(alice, "INVITE", desk, mobile, cell)
        offered = [phone.expect("INVITE", but=["ACK", "CANCEL"]) for phone in (desk, mobile, cell)]
        cell.respond(offered[2], 180, tag="cell")
        alice.expect("180 INVITE", but=["100 INVITE"])
        desk.respond(offered[0], 200, tag="desk")
        mobile.respond(offered[1], 200, tag="mobile")
        assert {final_of(alice, call, 200).tag("to") for _ in range(2)} == {"desk", "mobile"}
        cell.respond(cell.expect("CANCEL"), 200)
        cell.respond(offered[2], 487, tag="cell")
        cell.expect("ACK")
    for phone in (desk, mobile):
        list(phone.drain())
        assert not [message for message in phone.seen if message.is_a("CANCEL")], "they had no provisional"
    assert len({message.raw for message in cell.seen if message.is_a("CANCEL")}) == ROUNDS


def test_shared_06_can_01_a_cancel_right_after_the_100_is_never_481(spread, agent):
    alice, bob = agent(spread, "alice"), agent(spread, "bob")
    for _ in range(ROUNDS):
        invite, call = begin(alice, "INVITE", bob)
        assert alice.expect("100 INVITE", but=["487 INVITE"])["call-id"] == call
        alice.cancel(invite)
        offered = bob.expect("INVITE", but=["ACK"])
        bob.respond(offered, 180, tag="b")
        cancel = bob.expect("CANCEL")
        assert cancel["via"] == offered.all("via")[0]
        bob.respond(cancel, 200, tag="b")
        bob.respond(offered, 487, tag="b")
        finals = {(final := final_of(alice, call, 200, 487)).method: final for _ in range(2)}
        assert finals["CANCEL"].status == 200 and finals["INVITE"].status == 487
        alice.acknowledge(invite, finals["INVITE"])


def test_shared_09_auth_08_a_nonce_is_good_for_every_worker_and_each_count_once(spread, agent):
    carol = agent(spread, "carol")
    for _ in range(30):
        assert carol.register().status == 200, "challenged by one worker, answered to another"
    stolen = re.search(rb"Authorization: (.*)\r\n", carol.sent[-1])
    assert stolen is not None
    for number in range(30):
        lines = [f"Contact: {carol.contact}", f"Authorization: {stolen[1].decode()}"]
        ask = carol.request(
            "REGISTER", "sip:example.com", cseq=number + 9, remote="<sip:carol@example.com>", extra=lines
        )
        carol.send(ask)
        assert carol.answer_to(f"{number + 9} REGISTER").status == 401


def test_shared_11_a_million_values_of_all_workers_before_and_after_their_death_are_unique(siphond, agent):
    proxy = siphond(workers=4, steering="spread", script=SCRIPT).start()
    proxy.tolerated = r"worker \d/4 died"
    alice = agent(proxy, "alice")
    found = set()
    rounds = MILLION // VALUES // 4
    for number in range(rounds):
        if number == rounds // 2:
            for pid in proxy.worker_pids():
                os.kill(pid, signal.SIGKILL)
            until(lambda: len(proxy.worker_pids()) == 4, 60, "the return of all workers")
        for _ in range(2):
            alice.send(alice.request("OPTIONS", "sip:example.com", extra=[f"X-Values: {VALUES}"]))
        for _ in range(2):
            found.update(map(hash, alice.expect("200 OPTIONS").body.split()))
        alice.seen.clear()
    assert len(found) == MILLION


# --- handlers that block or await


@pytest.mark.alone
def test_txn_01_another_worker_sends_the_100_of_a_blocked_one_within_250_ms(waiting, agent):
    alice, bob = agent(waiting, "alice"), agent(waiting, "bob")
    took: list[float] = []
    while len(took) < 5 or (len(took) < 20 and min(took) >= 0.25):
        stood_in = waiting.adoptions()
        invite = alice.send(alice.request("INVITE", "sip:x@example.com", extra=[f"X-Target: {bob.uri}", "X-Block: 2"]))
        sent = time.monotonic()
        alice.expect("100 INVITE", but=[])
        took.append(time.monotonic() - sent)
        assert took[-1] < 2, "before the handler has ended"
        assert waiting.adoptions() > stood_in
        bob.respond(bob.expect("INVITE"), 486, tag="b")
        bob.expect("ACK")
        alice.acknowledge(invite, alice.expect("486 INVITE"))
    assert min(took) < 0.25, took


@pytest.mark.parametrize("wait", ["X-Block: 3", "X-Await: 3"])
def test_can_07_a_cancel_while_the_script_still_runs_ends_the_call_before_any_invite_leaves(wait, waiting, agent):
    alice, bob = agent(waiting, "alice"), agent(waiting, "bob")
    invite = alice.send(alice.request("INVITE", "sip:x@example.com", extra=[f"X-Target: {bob.uri}", wait]))
    alice.expect("100 INVITE")
    alice.cancel(invite)
    assert alice.answer_to("1 CANCEL").status == 200
    ended = alice.answer_to("1 INVITE")
    assert ended.status == 487
    alice.acknowledge(invite, ended)
    bob.silence(4)
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    alice.expect("200 OPTIONS")
