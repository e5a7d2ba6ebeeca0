"""The text protocol of rtpproxy, against a fake: Debian 12 has no rtpproxy."""

import asyncio

import pytest

from siphon.services.media.backend import Description, MediaError, Relay
from siphon.services.media.link import Link, NoAnswer
from siphon.services.media.profiles import BUILT_IN, DEFAULT, side_of
from siphon.services.media.rtpproxy import RtpProxy
from siphon.testing.media_relay import FakeRelay

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=ice-lite\r\n"
    b"m=audio 4000 RTP/AVP 0\r\na=rtcp:4001\r\na=candidate:1 x\r\nm=video 0 RTP/AVP 96\r\n"
    b"m=video 4002 RTP/AVP 96\r\nc=IN IP6 2001:db8::1\r\n"
)
PASS = BUILT_IN[DEFAULT].offer


@pytest.fixture
def fake():
    made = FakeRelay()
    yield made
    made.close()


def do(fake, operation, timeout_ms=20_000):
    """The result of `operation(backend, relay)`."""

    async def go():
        ip, _, port = fake.address.rpartition(":")
        link = Link(asyncio.get_running_loop(), (ip, int(port)), timeout_ms)
        try:
            return await operation(RtpProxy(), Relay(fake.address, 1, link))
        finally:
            link.close()

    return asyncio.run(go())


def offer(fake, side=PASS, sdp=SDP, call_id="c1", **more):
    description = Description(call_id, "a", None, sdp, side, **more)
    return do(fake, lambda backend, relay: backend.offer(relay, description, True))


def words(fake):
    return [one["words"] for one in fake.commands]


def test_each_section_with_a_port_is_a_command_and_gets_the_relays_address(fake):
    assert offer(fake) == (
        b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=ice-lite\r\n"
        b"m=audio 20002 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\na=rtcp:20003\r\na=candidate:1 x\r\nm=video 0 RTP/AVP 96\r\n"
        b"m=video 20004 RTP/AVP 96\r\nc=IN IP4 127.0.0.1\r\n"
    )
    assert words(fake) == [["U", "c1", "192.0.2.1", "4000", "a;1"], ["U6", "c1", "2001:db8::1", "4002", "a;3"]]


def test_an_answer_is_a_look_up_with_both_tags(fake):
    description = Description("c1", "a", "b", SDP, PASS)
    assert b"m=audio 20002" in do(fake, lambda backend, relay: backend.answer(relay, description))
    assert words(fake)[0] == ["L", "c1", "192.0.2.1", "4000", "a;1", "b;1"]


def test_the_end_and_a_sign_of_life(fake):
    do(fake, lambda backend, relay: backend.delete(relay, "c1", "a", "b"))
    assert words(fake) == [["D", "c1", "a", "b"]]
    assert do(fake, lambda backend, relay: backend.ping(relay))


def test_directions_and_symmetry_are_options(fake):
    side = side_of({"direction": ["external", "internal"], "flags": ["symmetric", "trust-address"], "dtls": "off"})
    offer(fake, side)
    assert words(fake)[0][0] == "Ueis"


def test_ice_can_be_taken_out(fake):
    assert b"ice" not in (found := offer(fake, side_of({"ice": "remove"})))
    assert b"candidate" not in found


def test_media_may_be_expected_from_where_the_message_came_from(fake):
    offer(fake, side_of({"received_from": "source"}), source="198.51.100.7")
    assert words(fake)[0][2] == "198.51.100.7"


@pytest.mark.parametrize(
    "given",
    [
        {"ice": "force"},
        {"dtls": "passive"},
        {"transport_protocol": "RTP/SAVP"},
        {"address_family": "IP6"},
        {"rtcp_mux": ["demux"]},
        {"record_call": True},
        {"flags": ["inject-DTMF"]},
        {"direction": ["lan", "wan"]},
    ],
)
def test_what_rtpproxy_cannot_do_is_named(fake, given):
    with pytest.raises(NotImplementedError, match="rtpproxy cannot do that"):
        offer(fake, side_of(given))
    with pytest.raises(NotImplementedError, match="play media"):
        do(fake, lambda backend, relay: backend.command(relay, "play media", {}))
    assert fake.commands == []


@pytest.mark.parametrize("call_id", ["", "a b", "a\nD x", "\x00", "é", "x" * 2000])
def test_no_call_id_becomes_a_second_command(fake, call_id):
    with pytest.raises(ValueError, match="cannot be told of"):
        offer(fake, call_id=call_id)
    assert fake.commands == []


@pytest.mark.parametrize("sdp", [b"m=audio 4000 RTP/AVP 0\r\n", b"c=IN IP4\r\nm=audio 4 RTP/AVP 0\r\n", b"\xff"])
def test_a_description_without_an_address_is_a_value_error(fake, sdp):
    with pytest.raises(ValueError):
        offer(fake, sdp=sdp)


def test_an_error_is_an_error_and_nonsense_is_no_answer(fake):
    fake.error = "E7"
    with pytest.raises(MediaError, match="error E7"):
        offer(fake)
    fake.error = "hello"
    with pytest.raises(NoAnswer, match="is not a port"):
        offer(fake, call_id="c2")


@pytest.mark.parametrize("answer", ["2000", "2000 192.0.2.9", "2000 192.0.2.9 4", "2000 2001:db8::9 6"])
def test_a_port_may_come_with_an_address_and_its_family(fake, answer):
    fake.error = answer
    address = (answer.split() + ["127.0.0.1"])[1]
    assert f"m=audio 2000 RTP/AVP 0\r\nc=IN IP{6 if ':' in address else 4} {address}\r\n".encode() in offer(fake)
