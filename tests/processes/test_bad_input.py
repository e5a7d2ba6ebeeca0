"""What is not SIP, or bad SIP, or a bad script: a defined answer or none, and the next request works."""

import os

import pytest
from proxy_process import until

VIA = "Via: SIP/2.0/UDP {host};branch=z9hG4bKbad{n}"
REST = (
    "From: <sip:a@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: bad{n}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70"
)


def options(first="OPTIONS sip:example.com SIP/2.0", via=VIA, rest=REST, more="Content-Length: 0\r\n\r\n"):
    return "\r\n".join([first, via, rest, more])


SILENT = {
    "empty": b"",
    "crlf": b"\r\n",
    "double-crlf": b"\r\n\r\n",
    "zeros": b"\0\0\0\0",
    "stun": bytes.fromhex("000100002112a442") + bytes(12),
    "http": b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "rtp": bytes.fromhex("8000000100000000deadbeef") + bytes(160),
    "random": os.urandom(700),
    "large-random": os.urandom(65000),
    "cut": b"INVITE sip:bob@example.com SI",
    "no-via": b"OPTIONS sip:example.com SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n",
    "stray-response": b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\n\r\n",
}

REFUSED = {
    "400-length": (400, options(more="Content-Length: 500\r\n\r\nshort")),
    "400-cseq": (400, options(rest=REST.replace("1 OPTIONS", "x OPTIONS"))),
    "505-version": (505, options(first="OPTIONS sip:example.com SIP/7.0")),
    "416-scheme": (416, options(first="OPTIONS gopher://example.com SIP/2.0")),
    "483-hops": (483, options(rest=REST.replace("Max-Forwards: 70", "Max-Forwards: 0"))),
    "420-extension": (420, options(more="Proxy-Require: magic\r\nContent-Length: 0\r\n\r\n")),
    "513-line": (513, options(more="Subject: " + "x" * 20000 + "\r\nContent-Length: 0\r\n\r\n")),
}


@pytest.fixture
def control(proxy, agent):
    """After the test: an OPTIONS is answered, no worker has died, and the log has no error."""
    yield proxy
    alice = agent(proxy, "control")
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    alice.expect("200 OPTIONS")
    assert proxy.restarts() == 0
    assert proxy.errors() == []


def test_nat_10_what_is_no_request_is_ignored(control, agent):
    alice = agent(control, "alice")
    for data in SILENT.values():
        alice.send(data)
    alice.silence(2)


def test_prx_01_a_bad_request_gets_its_status(control, agent):
    alice = agent(control, "alice")
    for number, (name, (status, text)) in enumerate(REFUSED.items()):
        alice.send(text.format(host=alice.host, n=number).encode())
        answer = alice.receive(15)
        assert answer is not None, name
        assert (name, answer.status) == (name, status)
    alice.silence(0.7)


def test_prx_07_a_bad_ack_is_never_answered(control, agent):
    alice = agent(control, "alice")
    for number, (_, text) in enumerate(REFUSED.values()):
        alice.send(text.replace("OPTIONS", "ACK").format(host=alice.host, n=number).encode())
    alice.silence(1)


def test_a_script_that_raises_answers_500_and_serves_the_next_request(siphond, agent):
    script = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "MESSAGE":
        raise ValueError("on purpose")
    request.reply(200, "OK")
"""
    proxy = siphond(workers=2, script=script).start()
    proxy.tolerated = "."
    alice = agent(proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    assert alice.expect("500 MESSAGE").start == "SIP/2.0 500 Script Error"
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    alice.expect("200 OPTIONS")
    until(lambda: "ValueError: on purpose" in proxy.log(), 15, "the line")
    assert proxy.restarts() == 0


def test_shared_35_a_full_table_refuses_new_requests_and_recovers(siphond, agent):
    proxy = siphond(
        workers=2, transactions=64, more="\n[transaction]\nt1 = 0.05\nt2 = 0.2\nt4 = 0.1\nlinger = 0\n"
    ).start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    statuses = set()
    for number in range(200):
        alice.send(alice.request("INVITE", "sip:bob@example.com", call_id=f"full{number}"))

    def both_came() -> bool:
        if (answer := alice.receive(0.5)) is not None:
            statuses.add((answer.status, bool(answer["retry-after"])))
        return {(503, True), (100, False)} <= statuses

    until(both_came, 20, "that some were taken and others were refused")

    def recovered() -> bool:
        carol = agent(proxy, "carol")
        carol.send(carol.request("MESSAGE", "sip:nobody@example.com"))
        answer = carol.receive(2)
        return answer is not None and answer.status == 404

    until(recovered, 60, "the recovery")
