"""`from siphon import rtpengine`: what a script may ask for, and how it is told what is wrong (section 14)."""

import asyncio

import pytest
from script_kit import SOURCE, Bench, response, sip

from siphon import rtpengine
from siphon.script.reply import Reply
from siphon.services.media.calls import Calls
from siphon.services.media.relays import MediaRelays
from siphon.sip.message import parse
from siphon.state.memory import MemoryTable
from siphon.testing.media_relay import FakeRelay

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
KIND = "Content-Type: application/sdp"
MIXED = b"--q\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--q\r\nContent-Type: text/plain\r\n\r\nhello\r\n--q--\r\n"


@pytest.fixture
def fake():
    made = FakeRelay()
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path, fake):
    return Bench(tmp_path, "", media={"rtpengine": {"address": fake.address, "timeout_ms": 500}})


def do(bench, operation):
    """The result of what `operation()` gives, with media relays in a running loop."""

    async def go():
        loop = asyncio.get_running_loop()
        calls = Calls(MemoryTable(), b"k" * 32, 60.0)
        relays = bench.services.media = MediaRelays(loop, calls, lambda: 0.0, lambda: 0.5, bench.log)
        relays.configure(bench.settings.media)
        try:
            return await operation()
        finally:
            relays.close()

    return asyncio.run(go())


def invite(bench, body=SDP, kind=KIND, **more):
    return bench.request(sip("INVITE", "sip:b@h", kind, body=body, **more))


def ok(body=SDP):
    return Reply(parse(response(200, "OK", KIND, body=body)), ("192.0.2.9", 5080))


def asked(fake):
    """The commands without what is in all of them."""
    return [{key: value for key, value in one.items() if key not in ("sdp", "supports")} for one in fake.commands]


def test_a_call_is_offered_answered_and_deleted(bench, fake):
    request, reply = invite(bench), ok()

    async def go():
        assert await rtpengine.offer(request) is True
        assert await rtpengine.answer(reply) is True
        assert (rtpengine.active_sessions, rtpengine.instance_count) == (1, 1)
        assert await rtpengine.delete(bench.request(sip("BYE", to="<sip:b@h>;tag=b1"))) is True
        assert rtpengine.active_sessions == 0

    do(bench, go)
    assert b"c=IN IP4 127.0.0.1\r\n" in request.body
    assert b"m=audio 20004 " in reply.body
    assert parse(request._draft.to_bytes()).content_length == len(request.body)
    common = {"call-id": b"call-1@192.0.2.7", "from-tag": b"a1"}
    passing = {"replace": [b"origin"], "flags": [b"trust-address"]}
    assert asked(fake) == [
        {"command": "offer", **common, **passing},
        {"command": "answer", **common, "to-tag": b"b1", **passing},
        {"command": "delete", **common},
    ]


def test_the_answer_takes_the_offers_profile_unless_it_has_its_own(bench, fake):
    async def go():
        await rtpengine.offer(invite(bench), "wss_to_rtp")
        await rtpengine.answer(ok())
        await rtpengine.answer(ok(), profile="rtp_passthrough")

    do(bench, go)
    assert [one.get("DTLS") for one in fake.commands] == [b"passive", b"off", None]
    assert [one.get("ICE") for one in fake.commands] == [b"force", b"remove", None]


def test_keywords_replace_what_the_profile_says(bench, fake):
    def go():
        return rtpengine.offer(
            invite(bench),
            transport_protocol="RTP/SAVP",
            replace=["origin", "session-connection"],
            flags=[],
            address_family="IP6",
            rtcp_mux="offer",
            record_call=True,
            record_path="/recordings",
            received_from="source",
            direction=("a", "b"),
            ws_uri="wss://example.com/x",
        )

    do(bench, go)
    assert asked(fake) == [
        {
            "command": "offer",
            "call-id": b"call-1@192.0.2.7",
            "from-tag": b"a1",
            "transport protocol": b"RTP/SAVP",
            "replace": [b"origin", b"session-connection"],
            "address family": b"IP6",
            "rtcp-mux": [b"offer"],
            "record call": b"yes",
            "recording-dir": b"/recordings",
            "received-from": [b"IP4", SOURCE[0].encode()],
            "direction": [b"a", b"b"],
            "ws-uri": b"wss://example.com/x",
        }
    ]


def test_in_a_body_of_several_parts_the_description_alone_changes(bench):
    request = invite(bench, MIXED % SDP, "Content-Type: multipart/mixed;boundary=q")
    do(bench, lambda: rtpengine.offer(request))
    changed = SDP.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 127.0.0.1").replace(b"4000", b"20002")
    assert request.body == MIXED % changed
    assert request.content_type == "multipart/mixed;boundary=q"


def test_an_offer_in_a_response_is_the_callees(bench, fake):
    async def go():
        await rtpengine.offer(ok())
        await rtpengine.answer(bench.request(sip("PRACK", "sip:b@h", KIND, body=SDP, to="<sip:b@h>;tag=b1")))

    do(bench, go)
    tags = [(one["command"], one["from-tag"], one["to-tag"]) for one in fake.commands]
    assert tags == [("offer", b"b1", b"a1"), ("answer", b"b1", b"a1")]


@pytest.mark.parametrize(
    "kind", ["Content-Type: Application/SDP ; charset=utf-8", "c: application/sdp", "X-Kind: none"]
)
def test_a_description_is_known_by_its_type_or_by_none(bench, fake, kind):
    do(bench, lambda: rtpengine.offer(invite(bench, SDP, kind)))
    assert [one["command"] for one in fake.commands] == ["offer"]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda b: rtpengine.offer(invite(b), "nope"), ValueError, "unknown media profile 'nope'.*rtp_passthrough"),
        (lambda b: rtpengine.offer(invite(b, b"")), ValueError, "no session description"),
        (lambda b: rtpengine.offer(invite(b, sender="<sip:a@h>")), ValueError, "no tag of who offers"),
        (lambda b: rtpengine.answer(ok(b"")), ValueError, "no session description"),
        (lambda b: rtpengine.offer(invite(b, SDP, "Content-Type: text/plain")), ValueError, "no session description"),
        (
            lambda b: rtpengine.offer(invite(b, SDP, "Content-Type: application/sdpx")),
            ValueError,
            "no session description",
        ),
        (
            lambda b: rtpengine.offer(invite(b, SDP, "Content-Type: multipart/mixed")),
            ValueError,
            "no session description",
        ),
        (lambda b: rtpengine.offer("INVITE"), TypeError, "a Request or Reply is needed"),
        (lambda b: rtpengine.offer(invite(b), flag="x"), TypeError, "unknown keyword 'flag'"),
        (lambda b: rtpengine.offer(invite(b), flags=[5]), TypeError, "flags is a list of str"),
        (lambda b: rtpengine.offer(invite(b), ["x"]), TypeError, "profile must be str, not list"),
        (lambda b: rtpengine.offer(invite(b), flags=5), TypeError, "flags is a list of str, not 5"),
        (lambda b: rtpengine.offer(invite(b), ice=5), TypeError, "ice must be str"),
        (lambda b: rtpengine.offer(invite(b), address_family="IP5"), ValueError, "address_family is IP4 or IP6"),
        (lambda b: rtpengine.offer(invite(b), received_from=5), ValueError, "received_from is"),
        (lambda b: rtpengine.offer(invite(b), received_from="nowhere"), ValueError, "received_from is"),
        (lambda b: rtpengine.offer(invite(b), received_from=("IP6", "192.0.2.1")), ValueError, "received_from is"),
        (lambda b: rtpengine.offer(invite(b), ws_uri="http://x"), ValueError, "ws_uri is"),
        (lambda b: rtpengine.offer(invite(b), ws_vad_engine="x"), NotImplementedError, "ws_vad_engine"),
        (lambda b: rtpengine.answer(ok(), beep_detection=True), NotImplementedError, "beep_detection"),
        (lambda b: rtpengine.answer(ok(), call=object()), NotImplementedError, "call="),
        (lambda b: rtpengine.echo("c1"), NotImplementedError, "rtpengine.echo"),
        (lambda b: rtpengine.play_media("c1"), ValueError, "exactly one of"),
        (lambda b: rtpengine.play_media("c1", file="x", db_id=1), ValueError, "exactly one of"),
        (lambda b: rtpengine.play_media("c1", file=5), TypeError, "file must be str"),
        (lambda b: rtpengine.play_media("c1", file=""), ValueError, "file is the path"),
        (lambda b: rtpengine.play_media("c1", blob="RIFF"), TypeError, "blob must be bytes"),
        (lambda b: rtpengine.play_media("c1", blob=b"x" * 70_000), ValueError, "does not fit a datagram"),
        (lambda b: rtpengine.play_media("c1", db_id="7"), TypeError, "db_id must be int"),
        (lambda b: rtpengine.play_media("c1", db_id=2**63), ValueError, "db_id is"),
        (lambda b: rtpengine.play_media("", file="x"), ValueError, "an empty Call-ID"),
        (lambda b: rtpengine.play_media(("c1", ""), file="x"), ValueError, "an empty from-tag"),
        (lambda b: rtpengine.play_media("c1", file="x", to_tag=""), ValueError, "an empty to-tag"),
        (lambda b: rtpengine.play_media("c1", tone="x"), NotImplementedError, "tone"),
        (lambda b: rtpengine.play_media("c1", file="x", gain_decibels=3), NotImplementedError, "gain_decibels"),
        (lambda b: rtpengine.play_media("c1", file="x", repeat=0), ValueError, "repeat is"),
        (lambda b: rtpengine.stop_media("c1", play_id=3), NotImplementedError, "play_id"),
        (lambda b: rtpengine.play_dtmf("c1", "5x"), ValueError, "code is"),
        (lambda b: rtpengine.play_dtmf("c1", "5", duration_ms=5), ValueError, "duration_ms is"),
        (lambda b: rtpengine.block_media(5), TypeError, "the target is"),
        (lambda b: rtpengine.subscribe_request("c1", "a", ""), ValueError, "an empty to-tag"),
    ],
)
def test_what_a_script_asks_for_wrongly_is_named_and_asks_nobody(bench, fake, call, error, says):
    with pytest.raises(error, match=says):
        do(bench, lambda: call(bench))
    assert fake.commands == []


def test_what_the_engine_refuses_is_a_runtime_error_and_changes_nothing(bench, fake):
    fake.error = "Unknown call-id"
    request = invite(bench)
    with pytest.raises(RuntimeError, match="Unknown call-id"):
        do(bench, lambda: rtpengine.offer(request))
    assert (request.body, request._draft) == (SDP, None)


def test_media_operations_of_a_running_call(bench, fake):
    target = ("c1", "a")

    async def go():
        assert await rtpengine.play_media(target, file="/x.wav", repeat=2, to_tag="b") == 40
        assert await rtpengine.play_media("c1", blob=b"RIFF", wait=False) == 40
        await rtpengine.stop_media(target)
        await rtpengine.play_dtmf(target, "1#", duration_ms=200, volume_dbm0=-8, pause_ms=150)
        await rtpengine.silence_media(target)
        await rtpengine.unsilence_media("c1")
        await rtpengine.block_media(invite(bench))
        await rtpengine.unblock_media(ok())
        assert (
            await rtpengine.subscribe_request("c1", "a", "spy", profile="rtp_passthrough")
            == b"v=0\r\ns=subscription\r\n"
        )
        await rtpengine.subscribe_answer("c1", "a", "spy", SDP.decode())
        await rtpengine.unsubscribe("c1", "a", "spy")
        assert await rtpengine.ping()

    do(bench, go)
    ids, dtmf = {"call-id": b"c1", "from-tag": b"a"}, {"duration": 200, "volume": -8, "pause": 150}
    whole = {"call-id": b"call-1@192.0.2.7", "from-tag": b"a1"}
    spy = {**ids, "to-tag": b"spy"}
    assert asked(fake) == [
        {"command": "play media", **ids, "file": b"/x.wav", "repeat-times": 2, "to-tag": b"b"},
        {"command": "play media", "call-id": b"c1", "blob": b"RIFF", "flags": [b"all"]},
        {"command": "stop media", **ids},
        {"command": "play DTMF", **ids, "code": b"1", **dtmf},
        {"command": "play DTMF", **ids, "code": b"#", **dtmf},
        {"command": "silence media", **ids},
        {"command": "unsilence media", "call-id": b"c1"},
        {"command": "block media", **whole},
        {"command": "unblock media", **whole},
        {"command": "subscribe request", **spy, "replace": [b"origin"], "flags": [b"trust-address"]},
        {"command": "subscribe answer", **spy},
        {"command": "unsubscribe", **spy},
    ]


def test_without_a_media_section_there_are_no_relays_and_while_loading_nothing_can_be_asked(tmp_path, bench):
    with pytest.raises(RuntimeError, match="not while a script is loaded"):
        asyncio.run(rtpengine.ping())
    Bench(tmp_path, "")
    assert (rtpengine.active_sessions, rtpengine.instance_count) == (0, 0)
    for operation in (rtpengine.ping(), rtpengine.echo("c1"), rtpengine.offer(None)):
        with pytest.raises(NotImplementedError, match="not configured"):
            asyncio.run(operation)


def test_handlers_of_events_that_cannot_come_are_warned_of(tmp_path):
    source = "from siphon import rtpengine\n@rtpengine.on_dtmf\ndef digit(*facts): ...\n"
    told = ["rtpengine.on_dtmf: handlers are never called without media.events.listen_addr"]
    assert Bench(tmp_path, source, media={}).runtime.warnings == told
    assert Bench(tmp_path, source, media={"events": {"listen_addr": "127.0.0.1:2224"}}).runtime.warnings == []
    assert Bench(tmp_path, source).runtime.warnings == []


@pytest.mark.parametrize(
    "declare",
    [
        lambda: rtpengine.on_dtmf("call-1"),
        lambda: rtpengine.on_dtmf(call_id=5),
        lambda: rtpengine.on_media_timeout(from_tag=b"a1"),
    ],
)
def test_a_filter_that_cannot_be_does_not_load(declare):
    with pytest.raises(TypeError, match="rtpengine.on_.*(call_id=|must be str)"):
        declare()


def test_a_handler_with_other_parameters_does_not_load():
    with pytest.raises(TypeError, match="on_media_timeout"):

        @rtpengine.on_media_timeout
        def one(call_id): ...
