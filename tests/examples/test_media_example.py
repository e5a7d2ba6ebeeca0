"""examples/proxy_rtpengine.py with its configuration, by the kit, over a relay that only writes down what it is asked.
tests/processes/test_rtpengine.py has RTPEngine itself, and RTP through it."""

from pathlib import Path

import pytest

from siphon import rtpengine

EXAMPLES = Path(__file__).parents[2] / "examples"
BOB = "sip:bob@example.com"
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
KIND = {"Content-Type": "application/sdp"}


@pytest.fixture
def asked(monkeypatch):
    """The operations, in order."""
    found = []

    def operation(name):
        async def ask(self, message, *args, **options):
            found.append(name)
            return True

        return ask

    for name in ("offer", "answer", "delete"):
        monkeypatch.setattr(type(rtpengine), name, operation(name))
    return found


@pytest.fixture
def server(siphond):
    return siphond(config=EXAMPLES / "proxy_rtpengine.cfg")


def test_the_media_of_a_call_begins_and_ends_with_it(asked, alice, bob):
    call = alice.invite(BOB, KIND, SDP)
    bob.incoming("INVITE").accept(SDP, KIND)
    assert call.status == 200
    assert asked == ["offer", "answer"]
    assert call.bye().status == 200
    assert asked == ["offer", "answer", "delete"]


def test_a_call_without_a_description_asks_no_relay(asked, alice, bob):
    call = alice.invite(BOB)
    bob.incoming("INVITE").accept()
    assert call.status == 200
    assert asked == []


def test_a_call_that_fails_or_is_cancelled_ends_its_media(asked, alice, bob):
    alice.invite(BOB, KIND, SDP).cancel()
    assert asked[:2] == ["offer", "delete"]
    asked.clear()
    bob.always("INVITE", 486)
    assert alice.invite(BOB, KIND, SDP).status == 486
    assert asked == ["offer", "delete"]


def test_where_no_relay_answers_a_call_is_refused(monkeypatch, server, alice, bob):
    async def nobody(self, request):
        raise RuntimeError("no relay has answered")

    monkeypatch.setattr(type(rtpengine), "offer", nobody)
    assert alice.invite(BOB, KIND, SDP).status == 503
    assert any("no media relay" in str(line) for line in server.log)


def test_who_is_not_there(asked, alice):
    assert alice.invite("sip:nobody@example.com", KIND, SDP).status == 404
    assert alice.request("OPTIONS", "sip:example.com").status == 200
