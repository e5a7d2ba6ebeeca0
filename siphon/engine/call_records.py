"""What calls write of themselves: transactions become call detail records (`cdr.auto_emit`, API 15.4).

The decisions know nothing of it. `answered` is called where a dialog record is written, before the commit that sends
the 2xx; `final` where it is removed, before the commit that sends a final (siphon/engine/dialogs.py, and _plain.pyx for
plain calls). Which records these are, and what a death in between leaves: siphon/services/call_records/records.py.
Registrations are told by the location service, where a result is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from siphon.services.call_records import CallRecords, fields_of
from siphon.services.location.changes import Event
from siphon.services.location.facts import RegisterFacts
from siphon.services.location.register import RegisterResult
from siphon.sip.message import SipMessage, parse
from siphon.state.record import Branch, Record
from siphon.state.store import Wait

CHALLENGES = (401, 407)
"""Not the end of a call: the client comes again."""


class CallWatch:
    """Of one process. `max_age` in seconds: after it a call without an end is forgotten."""

    def __init__(self, records: CallRecords, max_age: float) -> None:
        self._records = records
        self._max_age = max_age

    def answered(self, record: Record, branch: Branch, tag: bytes, now: float) -> None:
        """A 2xx to a forwarded INVITE is about to go up. A re-INVITE begins nothing."""
        if record.to_tag:
            return
        at = wall_of(record, now)
        facts = self._facts(record) | {
            "response_code": branch.result,
            "timestamp_answer": at,
            "destination_ip": branch.ip,
        }
        self._records.begin(record.call_id, record.from_tag, tag, facts, self._max_age)

    def final(self, record: Record, now: float) -> None:
        """A final is about to go up."""
        status = record.final_status
        if record.own or status in CHALLENGES:
            return
        if record.method == "BYE" and record.to_tag:
            self._records.end(record.call_id, record.from_tag, record.to_tag)
        elif record.invite and not record.to_tag and record.attempts and status >= 300:
            self._records.fail(record.key, self._failure(record, status, now))

    def _failure(self, record: Record, status: int, now: float) -> dict[str, Any]:
        at = wall_of(record, now)
        initiator = {408: "timeout", 487: "caller"}.get(status, "callee")
        reason = record.cancel_reason or reason_of(record.last_response)
        return self._facts(record) | {
            "timestamp": at,
            "response_code": status,
            "timestamp_end": at,
            "duration_secs": 0.0,
            "destination_ip": record.branches[-1].ip if record.branches else None,
            "disconnect_initiator": initiator,
            "sip_reason": text(reason.partition(b"\r\n")[0]) if reason else None,
        }

    def _facts(self, record: Record) -> dict[str, Any]:
        known = fields_of(
            call_id=text(record.call_id),
            method=record.method,
            timestamp_start=record.wall,
            source_ip=record.source_ip,
            transport="udp",
            auth_user=record.auth_user or None,
        )
        if record.request:
            known |= of_message(parse(record.request))
        return known

    def note(self, message: SipMessage) -> None:
        """A BYE has come: its Reason belongs to the record, and only now is it at hand."""
        found = message.values("Reason")
        if found and message.to_tag and message.from_tag:
            self._records.note(message.call_id, message.from_tag, message.to_tag, text(b", ".join(found)))


def watch_byes(handlers: Any, watch: CallWatch) -> None:
    """Let `watch` see each BYE that comes, as measure() in durations.py does; this object only."""
    inner = handlers.run_request

    def run_request(record: Record, message: SipMessage | None, done: Any) -> None:
        if record.method == "BYE":
            watch.note(message or parse(record.request))
        inner(record, message, done)

    handlers.run_request = run_request


def of_message(message: SipMessage) -> dict[str, Any]:
    """What the request itself says."""
    agent = message.values("User-Agent")
    return fields_of(
        from_uri=text(message.from_uri or b"") or None,
        to_uri=text(message.to_uri or b"") or None,
        ruri=text(message.uri),
        user_agent=text(agent[0]) if agent else None,
    )


def reason_of(response: bytes) -> bytes:
    """The Reason of a stored response."""
    if b"eason" not in response and b"EASON" not in response:
        return b""
    found = parse(response).values("Reason")
    return b", ".join(found)


def wall_of(record: Record, now: float) -> float:
    """A moment of this machine's clock as wall time: seconds since the request came, from when it came."""
    return record.wall + max(0.0, now - record.created)


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# -- registrations


def watch_saves(location: Any, records: CallRecords, wall: Callable[[], float]) -> None:
    """Make a location service tell of what it saves; this object only, so nobody else pays for it. The short way of
    most REGISTERs tells nothing, so all take the long one."""
    inner = location.save
    location.plain = None

    def save(facts: RegisterFacts, at: float) -> RegisterResult:
        result: RegisterResult = inner(facts, at)
        if isinstance(result.later, Wait):
            result.later.then(lambda stored: told(facts, stored))
        else:
            told(facts, result)
        return result

    def told(facts: RegisterFacts, result: Any) -> None:
        for event, binding in result.events if result.ok else ():
            kept = registration(facts.aor, event, binding, wall())
            named = facts.transaction + event.value.encode() + binding.uri.encode("utf-8", "surrogateescape")
            records.put(kept, {}, blake2b(named, digest_size=16).digest())

    location.save = save


def registration(aor: str, event: Event, binding: Any, at: float) -> dict[str, Any]:
    """The record of one contact. `aor` is the address of record."""
    return fields_of(
        timestamp=at,
        call_id=binding.call_id,
        from_uri=aor,
        to_uri=aor,
        ruri=binding.uri,
        method="REGISTER",
        response_code=200 if event is not Event.EXPIRED else None,
        timestamp_start=at,
        source_ip=binding.source[0],
        transport=binding.transport,
        reg_event=event.value,
    )
