"""Putting a REGISTER aside and applying it when it is confirmed (API 11.2: save_pending, confirm_pending).

Pure functions of the record, like `register.change`. Both times the bindings are those of that moment: what was put
aside and has been overtaken by a later CSeq of its Call-ID is dropped when it is confirmed.
"""

from __future__ import annotations

from dataclasses import replace

from siphon.config.settings import Registrar
from siphon.services.location.binding import AddressRecord
from siphon.services.location.pending import MOST, Pending
from siphon.services.location.register import OUT_OF_ORDER, Prepared, RegisterResult, change, prepare

_TOO_MANY = RegisterResult(503, "Too Many Pending", (("Retry-After", "32"),))


def put_aside(
    record: AddressRecord | None, prepared: Prepared, settings: Registrar, wall: float, epoch: str
) -> RegisterResult:
    """The answer that the request gets, and the record in which it waits. A query changes nothing."""
    result = change(record, prepared, settings, wall, epoch)
    if result.record is None:
        return result
    facts = prepared.facts
    old = record if record is not None else AddressRecord(facts.aor)
    waiting = [p for p in old.pending if p.is_live(wall)]
    before = next((p.facts for p in waiting if p.facts.call_id == facts.call_id), None)
    if before is not None and before.cseq >= facts.cseq and before.transaction != facts.transaction:
        return OUT_OF_ORDER
    waiting = [p for p in waiting if p.facts.call_id != facts.call_id]
    if len(waiting) >= MOST:
        return _TOO_MANY
    new = replace(old, pending=(*waiting, Pending(facts, wall)))
    return replace(result, record=new, events=(), written=(), adds=True)


def confirmed(record: AddressRecord | None, settings: Registrar, wall: float, epoch: str) -> RegisterResult:
    """All that waits, applied in its order; not ok when nothing does. Lifetimes count from when the request came."""
    done = RegisterResult(404, "Nothing Pending")
    if record is None or not record.pending:
        return done
    left = replace(record, pending=())
    for pending in record.pending:
        prepared = prepare(pending.facts, settings) if pending.is_live(wall) else None
        if not isinstance(prepared, Prepared):
            continue
        result = change(left, prepared, settings, pending.wall, epoch)
        if result.ok and result.record is not None:
            left = result.record
            done = replace(
                result,
                events=done.events + result.events,
                written=tuple(b for b in (*done.written, *result.written) if b in left.bindings),
                adds=done.adds or result.adds,
            )
    return replace(done, record=left)
