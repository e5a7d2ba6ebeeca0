"""Calls whose media passes through Debian's RTPEngine: examples/proxy_rtpengine.py with real RTP."""

import os
import re
import signal

import pytest
from death import DEATH
from free_ports import free_port
from proxy_process import ROOT, until
from rtp_engine import KIND, Rtp, RtpEngine, flows, port_of, require, room_for

EXAMPLE = ROOT / "examples/proxy_rtpengine.py"
PATIENT_MS = 8000
"""Limit of a command to a relay: more than a busy machine takes. One that is gone is known by ICMP at once."""
COUNTED = ("managedsessions", "onewaystreams", "relayedpackets")
MOST_CALLS = 30
"""Relays are chosen by chance: all of these go to one of two once in 2^29 runs."""


@pytest.fixture
def engines(tmp_path):
    """Makes RTPEngines, `engines(options)`, started; all are stopped."""
    require()
    made = []

    def make(*more):
        made.append(RtpEngine(tmp_path, *more))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def phones():
    """Makes RTP sockets of phones."""
    made = []

    def make():
        made.append(Rtp())
        return made[-1]

    yield make
    for one in made:
        one.close()


def media(*engines, events="", **keys):
    """The section of the configuration."""
    instances = ", ".join(f'{{ address = "{one.address}", timeout_ms = {PATIENT_MS} }}' for one in engines)
    more = f'events = {{ listen_addr = "{events}" }}\n' if events else ""
    more += "".join(f"{name} = {value}\n" for name, value in keys.items())
    return f"\n[media]\n{more}rtpengine = {{ instances = [{instances}] }}\n"


def example(siphond, *engines, **options):
    """The example with its own configuration, on ports of the test's."""
    made = siphond(script=EXAMPLE, more=media(*engines, **options))
    return made.start()


class Call:
    """A call from alice to bob, set up."""

    def __init__(self, proxy, agent, phones):
        self.alice, self.bob = agent(proxy, "alice", fresh=True), agent(proxy, "bob")
        self.one, self.two = phones(), phones()
        assert self.bob.register().status == 200
        self.sent = self.alice.send(self.alice.request("INVITE", "sip:bob@example.com", extra=KIND, body=self.one.sdp))
        self.invite = self.bob.expect("INVITE", within=15)
        self.id = self.invite["call-id"]
        self.bob.respond(self.invite, 200, "OK", tag="b", extra=KIND, body=self.two.sdp)
        self.answer = self.alice.expect("200 INVITE", within=15, but=("100 INVITE", "180 INVITE"))
        self.ends = self.alice.dialog(self.answer)
        self.alice.within(self.ends, "ACK")
        self.bob.expect("ACK", within=15)
        self.to_two, self.to_one = port_of(self.answer.body), port_of(self.invite.body)

    def flows(self):
        """RTP passes both ways."""
        flows(self.one, self.two, self.to_one, self.to_two)

    def end(self):
        self.alice.within(self.ends, "BYE")
        bye = self.bob.expect("BYE", within=15, but=("INVITE", "ACK"))
        self.bob.respond(bye, 200, "OK")
        self.alice.expect("200 BYE", within=15, but=("200 INVITE",))


def test_media_of_a_call_passes_through_the_relay_until_its_bye(siphond, engines, agent, phones):
    engine = engines()
    proxy = example(siphond, engine)
    call = Call(proxy, agent, phones)
    assert {call.to_one, call.to_two}.isdisjoint({call.one.port, call.two.port})
    call.flows()
    assert min(engine.packets(call.id).values()) >= 1
    call.end()
    until(lambda: engine.sessions() == 0, 15, "the end of the media")


def test_both_sides_may_move_their_media_and_either_may_end_the_call(siphond, engines, agent, phones):
    engine = engines()
    call = Call(example(siphond, engine), agent, phones)
    call.flows()
    other = phones()
    back = call.bob.dialog_of_callee(call.invite, "b")
    lines = call.bob.request(
        "INVITE",
        back.target,
        cseq=1,
        call_id=back.call_id,
        local=back.local,
        remote=back.remote,
        routes=back.routes,
        extra=KIND,
        body=other.sdp,
    )
    call.bob.send(lines)
    again = call.alice.expect("INVITE", within=15, but=("200 INVITE",))
    call.alice.respond(again, 200, "OK", extra=KIND, body=call.one.sdp)
    answer = call.bob.expect("200 INVITE", within=15, but=("100 INVITE", "ACK"))
    assert again["call-id"] == call.id
    flows(call.one, other, port_of(answer.body), port_of(again.body))
    back.cseq = 1
    call.bob.within(back, "BYE")
    bye = call.alice.expect("BYE", within=15, but=("INVITE", "200 INVITE"))
    call.alice.respond(bye, 200, "OK")
    until(lambda: engine.sessions() == 0, 15, "the end of the media")


def test_calls_are_spread_over_two_relays_and_each_keeps_its_own(siphond, engines, agent, phones):
    two = [engines(), engines()]
    proxy = example(siphond, *two)
    calls = []
    while len(calls) < 4 or not all(one.sessions() for one in two):
        assert len(calls) < MOST_CALLS, "all are at one relay"
        calls.append(Call(proxy, agent, phones))
        assert sum(one.sessions() for one in two) == len(calls)
    for call in calls:
        call.flows()
    assert sum(one.sessions() for one in two) == len(calls)
    for call in calls:
        call.end()
    until(lambda: sum(one.sessions() for one in two) == 0, 15, "the end of the media")


def test_when_one_of_two_relays_dies_new_calls_go_on(siphond, engines, agent, phones):
    two = [engines(), engines()]
    proxy = example(siphond, *two)
    two[0].stop()
    calls = [Call(proxy, agent, phones) for _ in range(6)]
    assert two[1].sessions() == 6
    for call in calls:
        call.end()
    until(lambda: "media.relay_down" in proxy.log(), 30, "a look at the dead relay, if no call chose it")
    two[0].start()
    until(lambda: "media.relay_up" in proxy.log(), 30, "the return of the relay")


def test_without_any_relay_a_call_is_refused_and_what_has_no_media_is_not(siphond, engines, agent, phones):
    engine = engines()
    proxy = example(siphond, engine)
    engine.stop()
    alice, bob = agent(proxy, "alice"), agent(proxy, "bob")
    bob.register()
    alice.send(alice.request("INVITE", "sip:bob@example.com", extra=KIND, body=phones().sdp))
    assert alice.expect("503 INVITE", within=15)["reason"] == ""
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    bob.expect("MESSAGE")


def test_a_call_given_up_while_it_rings_leaves_no_media(siphond, engines, agent, phones):
    engine = engines()
    proxy = example(siphond, engine)
    alice, bob = agent(proxy, "alice"), agent(proxy, "bob")
    bob.register()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=KIND, body=phones().sdp))
    rings = bob.expect("INVITE", within=15)
    bob.respond(rings, 180, "Ringing", tag="b")
    alice.expect("180 INVITE")
    assert engine.sessions() == 1
    alice.cancel(invite)
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(rings, 487, "Request Terminated", tag="b")
    alice.expect("487 INVITE", within=15, but=("100 INVITE", "180 INVITE", "200 CANCEL"))
    until(lambda: engine.sessions() == 0, 15, "the end of the media")


def test_a_relay_survives_the_death_of_every_worker_in_a_call(siphond, engines, agent, phones):
    two = [engines(), engines()]
    proxy = example(siphond, *two)
    call = Call(proxy, agent, phones)
    proxy.tolerated = DEATH
    for pid in proxy.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: proxy.control("status").returncode == 0, 60, "new workers")
    call.flows()
    call.end()
    until(lambda: sum(one.sessions() for one in two) == 0, 15, "the end of the media")


def test_digits_are_told_once_and_a_call_without_media_is_told_of(siphond, engines, agent, phones):
    events = f"127.0.0.1:{free_port()}"
    engine = engines(f"--dtmf-log-dest={events}", f"--b2b-url=http://{events}/", "--xmlrpc-format=2", "--timeout=10")
    proxy = example(siphond, engine, events=events)
    call = Call(proxy, agent, phones)
    call.flows()
    tag = call.invite.tag("from")
    for event in (5, 11):
        call.one.press(call.to_two, event)
    for digit in "5#":
        line = f"{call.id} {tag}: digit {digit}, 100 ms"
        until(lambda line=line: line in proxy.log(), 15, "a digit")
        assert proxy.log().count(line) == 1
    line = f"{call.id}: the relay has closed it, no media came"
    until(lambda: line in proxy.log(), 60, "the end for want of media")
    until(lambda: engine.sessions() == 0, 15, "the end of the media")
    assert proxy.log().count(line) == 1


def test_media_of_100_calls_of_sipp_passes_both_ways(siphond, engines, agent, sipp, tmp_path):
    engine = engines()
    proxy = example(siphond, engine)
    sound = tmp_path / "sound.ulaw"
    sound.write_bytes(b"\xff" * 8000)
    port, echo = free_port(), room_for(4)
    phone = sipp.callee("uas_media", port, "-rtp_echo", "-mp", str(echo))
    assert agent(proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>").status == 200
    ports = ("-mp", str(room_for(400)))
    total = dict.fromkeys(COUNTED, 0)
    for attempt in range(1, 4):  # where SIPp stands still for as long as a call, that one's media is not whole
        caller = sipp.caller("uac_media", proxy.address, *ports, calls=100, rate=10, hold=1500, sound=sound)
        assert caller.wait(120).successful == 100, caller.report()
        until(lambda: engine.sessions() == 0, 15, "the end of the media")
        before, total = total, engine.ask(command="statistics")["statistics"]["totalstatistics"]
        calls, one_way, packets = (total[name] - before[name] for name in COUNTED)
        assert calls == 100
        if one_way == 0 and packets > 100 * 2 * 20:
            break
        assert attempt < 3, total
    assert phone.stop().failed == 0, phone.report()


def test_the_text_protocol_of_rtpproxy_as_rtpengine_speaks_it(siphond, engines, agent, phones):
    control = f"127.0.0.1:{free_port()}"
    engines(f"--listen-udp={control}")
    section = f'\n[media]\nbackend = "rtpproxy"\nrtpproxy = {{ address = "{control}", timeout_ms = {PATIENT_MS} }}\n'
    proxy = siphond(script=EXAMPLE, more=section).start()
    call = Call(proxy, agent, phones)
    assert {call.to_one, call.to_two}.isdisjoint({call.one.port, call.two.port})
    call.flows()
    call.end()
    assert "media.delete" not in proxy.log()


def test_the_example_runs_by_the_command_in_its_head(siphond, engines, agent, phones, monkeypatch, tmp_path):
    head = EXAMPLE.read_text().split('"""')[1]
    (line,) = re.findall(r"^    siphond -c (\S+)$", head, re.M)
    engine, proxy = engines(), siphond()
    text = (ROOT / line).read_text()
    proxy.configuration.write_text(
        text.replace('"proxy_rtpengine.py"', f'"{EXAMPLE}"').replace(
            "[shared]\n", f'[shared]\npath = "{proxy.shared}"\n'
        )
    )
    monkeypatch.setenv("SIPHON_LISTEN", f"127.0.0.1:{proxy.port}")
    monkeypatch.setenv("RTPENGINE", engine.address)
    monkeypatch.setenv("MEDIA_EVENTS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    call = Call(proxy.start(), agent, phones)
    call.flows()
    call.end()
