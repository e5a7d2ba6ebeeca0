"""Call detail records of calls, whichever workers saw what: one a call, and who ended it (API 15.4)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from siphon.engine.counters import Counter
from siphon.engine.keys import Keys
from siphon.services.call_records import CallRecords
from siphon.state.codec import decode
from siphon.testing.agent import Agent
from siphon.testing.worker import SECRET
from siphon.testing.world import World

SCRIPT = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "INVITE" and not request.in_dialog:
        if request.ruri.user == "nobody":
            request.reply(404, "Not Found")
            return
        request.auth_user = "alice"
        request.record_route()
        request.fork(["sip:bob@127.0.0.2:5090", "sip:bob@127.0.0.3:5090"] if request.ruri.user == "two"
                     else ["sip:bob@127.0.0.2:5090"])
        return
    request.relay(None if request.in_dialog else "sip:127.0.0.2:5090")
"""

Make = Callable[..., World]


class Calls:
    """A world whose calls are written down."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.caller, self.callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)

    def records(self) -> CallRecords:
        world = self.world
        return CallRecords(
            world.cdrs, Keys(SECRET, []).table, world.clock.wall, 100, lambda: 0, lambda: None, lambda: None
        )

    def written(self) -> list[dict[str, Any]]:
        """What a writer writes now; as the helper does it."""
        self.world.advance(1)
        records = self.records()
        records.settle(self.has_failed)
        found = []
        for ready in records.ready(100):
            found.append(json.loads(ready.line))
            assert records.written(ready)
        return found

    def has_failed(self, transaction: bytes) -> bool | None:
        found = self.world.transactions.get(transaction)
        assert isinstance(found, tuple)
        return decode(transaction, found[1]).final_status >= 300

    def invite(self, user: str = "bob", worker: int = 0, call_id: str = "c1", more: str = "") -> None:
        text = self.caller.request("INVITE", f"sip:{user}@example.com", call_id=call_id)
        if more:
            text = text.replace("Max-Forwards", f"{more}\r\nMax-Forwards", 1)
        self.caller.send(text, worker)

    def bye(self, by: Agent, worker: int = 0, more: str = "") -> None:
        if by is self.caller:
            text = by.request("BYE", "sip:127.0.0.2:5090", call_id="c1", cseq=2, to_tag="t1")
        else:
            text = by.request("BYE", "sip:192.0.2.1:5060", call_id="c1", cseq=9, from_tag="t1", to_tag="f1")
        if more:
            text = text.replace("Max-Forwards", f"{more}\r\nMax-Forwards", 1)
        by.send(text, worker)


@pytest.fixture
def calls(make_world: Make) -> Calls:
    return Calls(make_world(SCRIPT, workers=3, cdr={"enabled": True, "auto_emit": True}))


def test_a_call_is_written_when_the_caller_hangs_up(calls: Calls) -> None:
    calls.invite(worker=0, more="User-Agent: phone 1.0")
    calls.world.advance(2)
    calls.callee.answer(calls.callee.last, 180)
    calls.callee.answer(calls.callee.last, 200)
    assert calls.written() == []
    assert calls.records().sessions() == 1
    calls.world.advance(59)
    calls.bye(calls.caller, worker=1)
    assert calls.written() == []
    calls.callee.answer(calls.callee.last, 200)
    (record,) = calls.written()
    assert {name: record[name] for name in ("call_id", "method", "response_code", "disconnect_initiator")} == {
        "call_id": "c1",
        "method": "INVITE",
        "response_code": 200,
        "disconnect_initiator": "caller",
    }
    assert record["ruri"] == "sip:bob@example.com" and record["to_uri"] == "sip:bob@example.com"
    assert record["from_uri"].startswith("sip:") and record["user_agent"] == "phone 1.0"
    assert (record["source_ip"], record["destination_ip"], record["transport"]) == ("192.0.2.1", "127.0.0.2", "udp")
    assert record["auth_user"] == "alice" and record["sip_reason"] is None
    assert 60 <= record["duration_secs"] < 63
    assert record["timestamp_start"] < record["timestamp_answer"] < record["timestamp_end"] == record["timestamp"]
    assert calls.records().sessions() == 0


def test_who_hung_up_is_told_by_the_tags_and_why_by_the_reason(calls: Calls) -> None:
    calls.invite()
    calls.callee.answer(calls.callee.last, 200)
    calls.bye(calls.callee, worker=2, more='Reason: Q.850;cause=16;text="Normal"')
    calls.caller.answer(calls.caller.last, 200)
    (record,) = calls.written()
    assert record["disconnect_initiator"] == "callee"
    assert record["sip_reason"] == 'Q.850;cause=16;text="Normal"'


def test_repeats_of_the_bye_and_of_its_answer_write_nothing_more(calls: Calls) -> None:
    calls.invite()
    calls.callee.answer(calls.callee.last, 200)
    for worker in range(3):
        calls.bye(calls.caller, worker=worker)
    bye = calls.callee.last
    for _ in range(3):
        calls.callee.answer(bye, 200)
    assert len(calls.written()) == 1
    calls.bye(calls.caller)
    assert calls.written() == []


@pytest.mark.parametrize(
    ("status", "initiator"), [(486, "callee"), (404, "callee"), (603, "callee"), (487, "caller"), (408, "timeout")]
)
def test_a_call_that_fails_is_written_with_its_final(calls: Calls, status: int, initiator: str) -> None:
    calls.invite()
    calls.callee.answer(calls.callee.last, status)
    (record,) = calls.written()
    assert (record["response_code"], record["disconnect_initiator"]) == (status, initiator)
    assert record["timestamp_answer"] is None and record["duration_secs"] == 0
    assert record["timestamp_end"] >= record["timestamp_start"]


def test_a_call_that_nobody_answers_ended_by_timeout(calls: Calls) -> None:
    calls.invite()
    calls.world.advance(40)
    (record,) = calls.written()
    assert (record["response_code"], record["disconnect_initiator"]) == (408, "timeout")


def test_a_cancelled_call_has_the_reason_of_the_cancel(calls: Calls) -> None:
    facts = {"call_id": "c1", "branch": "z9hG4bKc"}
    calls.caller.send(calls.caller.request("INVITE", "sip:bob@example.com", **facts), 0)
    invite = calls.callee.last
    calls.callee.answer(invite, 180)
    cancel = calls.caller.request("CANCEL", "sip:bob@example.com", headers="Reason: SIP;cause=600", **facts)
    calls.caller.send(cancel, 1)
    assert calls.callee.last.method == "CANCEL"
    calls.callee.answer(invite, 487)
    (record,) = calls.written()
    assert (record["response_code"], record["disconnect_initiator"]) == (487, "caller")
    assert record["sip_reason"] == "SIP;cause=600"


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_is_no_end(calls: Calls, status: int) -> None:
    calls.invite()
    calls.callee.answer(calls.callee.last, status)
    assert calls.written() == []


def test_what_is_answered_here_without_being_relayed_is_not_written(calls: Calls) -> None:
    calls.invite("nobody")
    assert calls.caller.statuses[-1] == 404
    assert calls.written() == []


def test_of_a_fork_the_answer_counts(calls: Calls) -> None:
    other = calls.world.agent("127.0.0.3", 5090)
    calls.invite("two")
    calls.callee.answer(calls.callee.last, 486)
    assert calls.written() == []
    other.answer(other.last, 200)
    assert calls.written() == []
    calls.bye(calls.caller)
    target = other if other.last.method == "BYE" else calls.callee
    target.answer(target.last, 200)
    (record,) = calls.written()
    assert record["destination_ip"] == "127.0.0.3" and record["response_code"] == 200


def test_a_call_goes_on_through_re_invites_and_challenged_byes(calls: Calls) -> None:
    calls.invite()
    calls.callee.answer(calls.callee.last, 200)
    calls.caller.send(calls.caller.request("INVITE", "sip:127.0.0.2:5090", call_id="c1", cseq=2, to_tag="t1"), 1)
    calls.callee.answer(calls.callee.last, 200)
    assert calls.written() == [] and calls.records().sessions() == 1


def test_without_auto_emit_nothing_is_written(make_world: Make) -> None:
    calls = Calls(make_world(SCRIPT, cdr={"enabled": True}))
    calls.invite()
    calls.callee.answer(calls.callee.last, 486)
    assert calls.written() == [] and calls.world.count(Counter.CDR_QUEUED) == 0


def test_a_script_writes_records_of_its_own(make_world: Make) -> None:
    script = """
from siphon import cdr, proxy

@proxy.on_request
def route(request):
    answers = [cdr.write(request, {"carrier": "north", "number": 5, "call_id": "mine"}) for _ in range(3)]
    request.reply(200, f"{cdr.enabled} {answers}")
"""
    calls = Calls(make_world(script, cdr={"enabled": True, "channel_size": 2}))
    calls.caller.send(calls.caller.request("OPTIONS", "sip:x@example.com"))
    assert calls.caller.last.reason == b"True [True, True, False]"
    first, second = calls.written()
    assert first == second and first["carrier"] == "north" and first["call_id"] != "mine"
    assert "number" not in first and first["method"] == "OPTIONS" and first["response_code"] is None
    assert calls.world.count(Counter.CDR_LOST) == 1


def test_off_means_false(make_world: Make) -> None:
    script = """
from siphon import cdr, proxy

@proxy.on_request
def route(request):
    request.reply(200, f"{cdr.enabled} {cdr.write(request)}")
"""
    calls = Calls(make_world(script))
    calls.caller.send(calls.caller.request("OPTIONS", "sip:x@example.com"))
    assert calls.caller.last.reason == b"False False"


def test_a_record_of_a_reply_handler_began_with_the_request(make_world: Make) -> None:
    script = """
from siphon import cdr, proxy

@proxy.on_request
def route(request):
    cdr.write(request)
    request.relay("sip:127.0.0.2:5090")

@proxy.on_reply
def back(request, reply):
    cdr.write(request)
    reply.relay()
"""
    calls = Calls(make_world(script, cdr={"enabled": True}))
    calls.caller.send(calls.caller.request("MESSAGE", "sip:bob@example.com"))
    calls.world.advance(2)
    calls.callee.answer(calls.callee.last, 200)
    asked, answered = calls.written()
    assert asked["timestamp_start"] == answered["timestamp_start"]
    assert asked["timestamp"] < answered["timestamp"]
