"""The torture messages and mutations of them, sent to a running siphond of two workers.

`SIPHOND_FUZZ_LIVE_SECS=600 ./dev test tests/processes/test_fuzz_live.py` makes the flood longer.
"""

import os
import time
from pathlib import Path
from random import Random

import pytest
from torture import sent_from, torture_messages
from udp_agent import Agent

from fuzz.plain import mutated
from siphon.testing.world import World

SECONDS = float(os.environ.get("SIPHOND_FUZZ_LIVE_SECS", "8"))
BURST = 40
"""Datagrams between two OPTIONS of the control."""
FLAT_KB = 1500
"""What a process may grow by after the warm-up."""
TORTURE = torture_messages()


@pytest.fixture
def proxy(siphond):
    return siphond(workers=2).start()


def script(phone):
    """REGISTERs are saved, all else goes to a phone that never answers."""
    return f"""
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "OPTIONS" and request.ruri.is_local and not request.ruri.user:
        request.reply(200, "OK")
    else:
        request.relay("sip:127.0.0.1:{phone}")
"""


def virtual_answers(text):
    """What the virtual siphond says first to each message: the status, 0 for nothing."""
    world = World(text)
    try:
        found = {}
        for port, (name, raw) in enumerate(TORTURE.items(), 6000):  # some have one branch: not from one place
            source = ("127.0.0.1", port)
            world.sent.clear()
            world.deliver(sent_from(source, raw), source)
            answers = [send.data.split(b" ")[1] for send in world.sent if send.to == source]
            found[name] = int(answers[0]) if answers else 0
            world.advance(0.1)  # all within 64*T1, as below: some are merged requests (482)
        return found
    finally:
        world.close()


def test_a_running_siphond_answers_each_torture_message_as_the_virtual_one_does(siphond, agent):
    with Agent(("127.0.0.1", 9), "phone") as phone:
        text = script(phone.address[1])
        expected = virtual_answers(text)
        assert len(expected) == 61 and set(expected.values()) == {0, 100, 200, 400, 416, 420, 482, 483, 505}
        proxy = siphond(workers=2, script=text).start()
        senders = {name: agent(proxy, "sender") for name in expected}
        for name, sender in senders.items():
            sender.send(sent_from(sender.address, TORTURE[name]))
            if expected[name]:
                answer = sender.receive(15)
                if answer is not None and answer.status == 100 != expected[name]:
                    answer = sender.receive(15)  # that one says that it has taken seconds (RFC 4320)
                assert answer is not None and answer.status == expected[name], name
            if expected[name] in (400, 505):
                time.sleep(0.11)  # ten answers to malformed requests a second and source
        for name, sender in senders.items():
            assert expected[name] or not list(sender.drain()), name
        assert proxy.restarts() == 0 and proxy.errors() == []


def private_kb(pids):
    """Memory of each process that is its own: not the tables, which are as large as they are."""
    found = {}
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        found[pid] = sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
    return found


def test_sec_13_a_flood_of_mutated_messages_leaves_good_requests_and_memory_alone(proxy, agent):
    senders, control = [agent(proxy, "sender") for _ in range(8)], agent(proxy, "control", fresh=True)
    random, messages = Random(5), list(TORTURE.values())
    pids = proxy.worker_pids()
    assert len(pids) == 2
    sent = bursts = 0
    memory = {}
    started = time.monotonic()
    while (passed := time.monotonic() - started) < SECONDS or sent <= 40 * SECONDS:
        if not memory and passed > SECONDS / 3:
            memory = private_kb(pids)
        for _ in range(BURST):
            sender = random.choice(senders)
            data = mutated(random.choice(messages), messages, random, 8000)
            sender.socket.sendto(sent_from(sender.address, data), proxy.address)
            sent += 1
        bursts += 1
        asked(control, bursts)
        for sender in senders:
            for _ in sender.drain():
                pass
            sender.seen.clear()
    after = private_kb(pids)
    assert passed < 10 * SECONDS and all(proxy.messages())
    assert proxy.worker_pids() == pids and proxy.restarts() == 0 and proxy.errors() == []
    assert all(after[pid] - memory[pid] < FLAT_KB for pid in pids), (memory, after)
    print(f"{sent} datagrams, {bursts} OPTIONS, {max(after[pid] - memory[pid] for pid in pids)} kB more")


def asked(control, number):
    """An OPTIONS is answered; sent again as a phone does when the flood has filled a socket."""
    call_id = f"control-{number}"
    request = control.request("OPTIONS", "sip:example.com", call_id=call_id)
    for _ in range(30):
        control.send(request)
        answer = control.receive(1)
        if answer is not None and answer["call-id"] == call_id:
            assert answer.status == 200
            control.seen.clear()
            control.sent.clear()
            return
    raise AssertionError(f"OPTIONS {number} was not answered")
