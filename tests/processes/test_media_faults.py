"""A media relay that misbehaves beside a real siphond: nobody but its own call notices."""

import http.client
import re
import socket
import time
from contextlib import suppress

import pytest
from free_ports import free_port
from proxy_process import until
from rtp_engine import KIND, SDP

from siphon.testing.media_relay import FakeRelay

SCRIPT = """
from siphon import log, proxy, rtpengine

@proxy.on_request
async def route(request):
    if request.method == "INVITE":
        try:
            await rtpengine.offer(request)
        except RuntimeError as error:
            request.reply(503, str(error).rpartition(": ")[2])
            return
    request.reply(200, "OK")

@rtpengine.on_dtmf
def digit(call_id, from_tag, digit, duration_ms, volume):
    log.info(f"digit {digit} of {call_id}")

@rtpengine.on_dtmf(call_id="c7")
async def one_call(call_id, from_tag, digit, duration_ms, volume):
    log.info(f"{from_tag} of c7 has pressed {digit}")

@rtpengine.on_media_timeout
def silent(call_id, from_tag):
    log.info(f"silent {call_id} {from_tag}")
"""
DIGIT = '{{"callid":"{}","source_tag":"a","type":"DTMF","event":{},"duration":100,"volume":10}}'
CLOSED = (
    b"<methodCall><methodName>dlg.terminate_dlg</methodName><params><param><value><string>%b</string></value></param>"
    b"<param><value><string>a</string></value></param></params></methodCall>"
)


@pytest.fixture
def fake():
    made = FakeRelay()
    yield made
    made.close()


def serve(siphond, fake, workers=1, more="", section="rtpengine", timeout_ms=3000):
    text = f'\n[media]\nbackend = "{section}"\nhealth_check_interval_secs = 60\n{more}\n'
    text += f'[media.{section}]\naddress = "{fake.address}"\ntimeout_ms = {timeout_ms}\n'
    return siphond(workers=workers, script=SCRIPT, more=text).start()


def offer(agent, port=4000):
    return agent.send(agent.request("INVITE", "sip:bob@example.com", extra=KIND, body=SDP.format(port=port)))


def test_a_relay_that_never_answers_delays_only_the_call_that_waits_for_it(siphond, agent, fake):
    proxy = serve(siphond, fake, timeout_ms=12_000)
    until(lambda: fake.pings, 15, "the first sign of life")
    fake.silent = True
    waiting, others = agent(proxy, "alice"), agent(proxy, "bob")
    began = time.monotonic()
    offer(waiting)
    until(lambda: fake.datagrams > 1, 15, "the question")
    for _ in range(50):  # of the same worker
        others.send(others.request("OPTIONS", "sip:example.com"))
        others.expect("200 OPTIONS")
    assert [str(message) for message in waiting.drain()] in ([], ["100 INVITE"])
    answer = waiting.expect("503 INVITE", within=30)
    assert answer.start.endswith("no answer within 12000 ms")
    assert time.monotonic() - began > 11.9


def test_garbage_is_refused_and_the_next_call_is_served(siphond, agent, fake):
    proxy = serve(siphond, fake)
    until(lambda: fake.pings, 15, "the first sign of life")
    alice = agent(proxy, "alice")
    fake.garbage = b"l" * 50_000
    offer(alice)
    assert "too deep" in alice.expect("503 INVITE", within=15).start
    fake.garbage = b""
    until(lambda: "media.relay_up" in proxy.log(), 40, "the return of the relay")
    bob = agent(proxy, "bob")
    offer(bob)
    bob.expect("200 INVITE", within=15)


def test_a_reload_takes_another_relay(siphond, agent, fake):
    proxy = serve(siphond, fake, workers=2)
    other = FakeRelay()
    try:
        text = proxy.configuration.read_text()
        proxy.configuration.write_text(text.replace(fake.address, other.address))
        assert proxy.control("reload").returncode == 0
        before = len(fake.commands)
        alice = agent(proxy, "alice")
        offer(alice)
        alice.expect("200 INVITE", within=15)
        assert (len(fake.commands), other.names()) == (before, ["offer"])
    finally:
        other.close()


def test_each_event_runs_once_in_some_worker_and_what_is_no_event_does_no_harm(siphond, fake):
    port = free_port()
    proxy = serve(siphond, fake, workers=4, more=f'events = {{ listen_addr = "127.0.0.1:{port}" }}')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
        for junk in (b"", b"{", b"[" * 60_000, b"\xff" * 1000, b"null"):
            teller.sendto(junk, ("127.0.0.1", port))
    for number in range(40):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:  # each from a port of its own
            teller.sendto(DIGIT.format(f"c{number}", number % 16).encode(), ("127.0.0.1", port))
    until(lambda: proxy.log().count(" digit ") >= 40 and "has pressed" in proxy.log(), 30, "the digits")
    for number in range(40):
        assert proxy.log().count(f"digit {'0123456789*#ABCD'[number % 16]} of c{number}\n") == 1
    assert proxy.log().count("has pressed") == proxy.log().count("a of c7 has pressed 7") == 1
    assert len({line.split()[2] for line in proxy.log().splitlines() if " digit " in line}) > 1


def test_a_closed_call_is_told_over_http_and_nonsense_is_answered_or_cut_off(siphond, fake):
    port = free_port()
    proxy = serve(siphond, fake, workers=2, more=f'events = {{ listen_addr = "127.0.0.1:{port}" }}')
    for body in (CLOSED % b"c1", b"", b"<" * 60_000):
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        asking.request("POST", "/", body)
        answer = asking.getresponse()
        assert (answer.status, b"methodResponse" in answer.read()) == (200, True)
        asking.close()
    for junk in (b"\r\n" * 10, b"x" * 70_000, b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
        line = socket.create_connection(("127.0.0.1", port), timeout=15)
        with line, suppress(OSError):  # it may be cut off before all is sent
            line.sendall(junk)
            line.shutdown(socket.SHUT_WR)
            while line.recv(1000):
                pass
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    asking.request("POST", "/", CLOSED % b"c2")
    assert asking.getresponse().status == 200
    asking.close()
    for line in idle:
        line.close()
    until(lambda: {"c1", "c2"} <= set(re.findall(r"silent (\w+) a", proxy.log())), 30, "both calls")
    assert (proxy.log().count("silent c1 a"), proxy.log().count("silent c2 a")) == (1, 1)


def test_the_text_protocol_of_rtpproxy(siphond, agent, fake):
    proxy = serve(siphond, fake, section="rtpproxy")
    alice = agent(proxy, "alice")
    offer(alice)
    alice.expect("200 INVITE", within=15)
    (asked,) = fake.commands
    assert (asked["command"], asked["words"][2:4]) == ("U", ["127.0.0.1", "4000"])


def test_after_an_upgrade_a_call_has_its_relay_and_events_run_once(lineage, agent, fake):
    other = FakeRelay()
    port = free_port()
    instances = ", ".join(f'{{ address = "{one.address}", timeout_ms = 3000 }}' for one in (fake, other))
    section = (
        f'\n[media]\nrtpengine = {{ instances = [{instances}] }}\nevents = {{ listen_addr = "127.0.0.1:{port}" }}\n'
    )
    try:
        one = lineage(workers=2, script=SCRIPT, more=section).start()
        alice = agent(one.proxy, "alice")
        invite = alice.request("INVITE", "sip:bob@example.com", extra=KIND, body=SDP.format(port=4000))
        for number in range(6):
            again = invite.replace(b"z9hG4bK", b"z9hG4bK%d" % number).replace(b"CSeq: 1", b"CSeq: %d" % (number + 1))
            alice.send(again)
            until(lambda number=number: len(fake.commands + other.commands) == number + 1, 15, "the offer")
            if number == 2:
                one.upgrade()
        assert sorted([len(fake.commands), len(other.commands)]) == [0, 6]
        for number in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
                teller.sendto(DIGIT.format(f"c{number}", 5).encode(), ("127.0.0.1", port))
        until(lambda: one.proxy.log().count(" digit ") >= 20, 30, "the digits")
        assert one.proxy.log().count(" digit ") == 20
    finally:
        other.close()
