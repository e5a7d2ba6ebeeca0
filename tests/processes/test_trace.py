"""`siphonctl trace` with real processes: calls over several workers, a worker that is killed, a siphonctl that is."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from proxy_process import PROGRAMS, until

from siphon.services.tracing.matching import call_id_of


class Tracing:
    """A siphonctl that traces, and what it has printed."""

    def __init__(self, proxy, wanted, *options):
        line = [str(PROGRAMS / "siphonctl"), "-c", str(proxy.configuration), "trace", wanted, *options]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.notes = [], []
        self.threads = [
            threading.Thread(target=self._read, args=(pipe, into))
            for pipe, into in ((self.process.stdout, self.lines), (self.process.stderr, self.notes))
        ]
        for thread in self.threads:
            thread.start()

    def _read(self, pipe, into):
        for line in pipe:
            into.append(line)

    def messages(self):
        return [json.loads(line) for line in list(self.lines)]

    def of(self, call_id):
        """Messages of a call."""
        return [one for one in self.messages() if call_id_of(one["message"].encode()) == call_id.encode()]

    def starts(self):
        return {(one["direction"], one["message"].split("\r\n")[0]) for one in self.messages()}

    def traced(self, number):
        """Processes that have connected so far."""
        until(lambda: sum(line.endswith("is traced\n") for line in self.notes) >= number, 60, f"{number}: {self.notes}")
        return self

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for thread in self.threads:
            thread.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def tracing():
    made = []

    def make(*arguments):
        made.append(Tracing(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def call(alice, bob, call_id):
    """INVITE to 200, ACK, BYE to 200."""
    alice.send(alice.request("INVITE", "sip:bob@example.com", call_id=call_id))
    invite = bob.expect("INVITE")
    bob.respond(invite, 180, "Ringing", tag="b")
    alice.expect("180 INVITE")
    bob.respond(invite, 200, "OK", tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE", but=("100 INVITE", "180 INVITE")))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200, "OK")
    alice.expect("200 BYE", but=("200 INVITE",))
    return invite


def test_a_call_is_seen_over_all_workers_and_another_is_not(siphond, agent, tracing):
    proxy = siphond(workers=4, steering="spread").start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    assert bob.register().status == 200
    trace = tracing(proxy, "the-call", "--json").traced(5)  # the timer helper as well
    call(alice, bob, "another")
    invite = call(alice, bob, "the-call")
    wanted = {
        ("in", "INVITE sip:bob@example.com SIP/2.0"),
        ("out", invite.start),
        ("in", "SIP/2.0 180 Ringing"),
        ("out", "SIP/2.0 180 Ringing"),
        ("in", "SIP/2.0 200 OK"),
        ("out", "SIP/2.0 200 OK"),
        ("in", invite.start.replace("INVITE", "ACK")),
        ("out", invite.start.replace("INVITE", "ACK")),
        ("in", invite.start.replace("INVITE", "BYE")),
        ("out", invite.start.replace("INVITE", "BYE")),
    }
    until(lambda: wanted <= trace.starts(), 20, f"the messages of the call, not {trace.starts()}")
    until(lambda: len(trace.messages()) >= 13, 20, "the whole call, with the 100")
    seen = trace.messages()
    assert seen == trace.of("the-call")
    first = next(one for one in seen if one["message"].startswith("INVITE sip:bob@example.com"))
    alices = "{}:{}".format(*alice.address)
    assert (first["source"], first["destination"]) == (alices, f"127.0.0.1:{proxy.port}")
    assert first["message"] == alice.sent[-3].decode()

    def by_several():
        """Which worker reads a datagram is chance here: there are more of them until two have."""
        alice.send(alice.request("OPTIONS", "sip:example.com", call_id="the-call"))
        alice.expect("200 OPTIONS")
        return len({one["process"] for one in trace.messages()}) >= 2

    until(by_several, 20, "messages of two workers")
    trace.process.send_signal(signal.SIGINT)
    assert trace.process.wait(30) == 0
    assert not list(proxy.shared.glob("trace-*"))


def test_an_address_of_record_is_seen_by_its_bindings_and_another_address_is_not(siphond, agent, tracing):
    proxy = siphond(workers=2).start()
    bob, carol, alice = agent(proxy, "bob"), agent(proxy, "carol"), agent(proxy, "alice")
    trace = tracing(proxy, "bob@example.com", "--json").traced(3)
    assert bob.register().status == 200 and carol.register().status == 200
    until(lambda: len(trace.messages()) >= 4, 20, "REGISTER, 401, REGISTER, 200")
    call(alice, bob, "to-bob")
    alice.send(alice.request("INVITE", "sip:carol@example.com", call_id="to-carol"))
    carol.respond(carol.expect("INVITE"), 486, "Busy Here")
    alice.expect("486 INVITE", but=("100 INVITE", "200 BYE", "200 INVITE"))
    until(lambda: len(trace.of("to-bob")) >= 12, 20, "the call")
    assert not any("carol" in one["message"] for one in trace.messages())


def test_a_killed_worker_is_missed_for_a_moment_and_a_killed_siphonctl_ends_the_trace_everywhere(
    siphond, agent, tracing
):
    proxy = siphond(workers=2).start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    assert bob.register().status == 200
    trace, other = tracing(proxy, "sip:bob@example.com"), tracing(proxy, "bob@example.com", "--json")
    trace.traced(3), other.traced(3)
    proxy.tolerated = "worker ./2 died"
    os.kill(proxy.worker_pids()[0], signal.SIGKILL)
    trace.traced(4), other.traced(4)
    until(lambda: any(line.endswith("has ended\n") for line in trace.notes), 20, "a note of the death")
    call(alice, bob, "after")
    until(lambda: sum(line.lower() == "call-id: after\n" for line in trace.lines) >= 12, 20, "the call")
    assert trace.lines[0].startswith("== 20") and ":" in trace.lines[0]
    trace.process.kill()
    other.process.send_signal(signal.SIGTERM)
    until(lambda: not list(proxy.shared.glob("trace-*")), 20, "removal of what they have left")
    until(lambda: proxy.flags() == 0, 20, "the end of the traces")
    call(alice, bob, "untraced")
    for pid in proxy.worker_pids():  # the file has all sockets of the machine, those of other tests too
        assert f"{proxy.shared}/trace-" not in Path(f"/proc/{pid}/net/unix").read_text()


def test_a_terminal_that_stands_still_stops_no_call_and_learns_what_it_missed(siphond, agent, tracing):
    proxy = siphond(workers=1).start()
    trace = tracing(proxy, "one@call", "--json").traced(2)
    trace.process.send_signal(signal.SIGSTOP)
    alice = agent(proxy, "alice")
    for number in range(1, 1501):
        alice.send(alice.request("OPTIONS", "sip:example.com", call_id="one@call", cseq=number))
        alice.expect("200 OPTIONS", within=10)
    trace.process.send_signal(signal.SIGCONT)
    until(lambda: len(trace.messages()) > 100, 20, "what fitted")

    def told():
        alice.send(alice.request("OPTIONS", "sip:example.com", call_id="one@call", cseq=number + 1))
        return sum(one["dropped"] for one in trace.messages())

    assert 0 < until(told, 20, "the number of those that did not") < 3000
    until(lambda: any("were dropped: the output is too slow" in line for line in trace.notes), 20, "a note of it")


def test_a_trace_ends_by_itself_after_its_time_or_with_siphond(siphond, tracing):
    proxy = siphond(workers=1).start()
    done = proxy.control("trace", "x", "--seconds", "0.2")
    assert done.returncode == 0 and done.stdout == ""
    assert proxy.control("trace", "").returncode == 2
    trace = tracing(proxy, "x").traced(2)
    assert proxy.stop() == 0
    assert trace.process.wait(30) == 3
    assert proxy.control("trace", "x").returncode == 3
