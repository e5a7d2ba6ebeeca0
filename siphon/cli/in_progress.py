"""`siphonctl calls` and `siphonctl transactions`: what is going on, from the records themselves.

A record is a transaction: it tells of a call while it is set up and for half a minute after. Of calls that go on longer
there are dialogs, which tell where both sides are, and those that will be written as call detail records
(`cdr.auto_emit`), which tell who they are. Reading takes no lock: what changes meanwhile may be missing. With
transactions in Redis there are dialogs only, those that this node has answered.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shm.table import Table
from siphon.cli import show
from siphon.cli.bans import printable
from siphon.cli.exits import Exit
from siphon.cli.memory import SLOTS, TRANSACTIONS
from siphon.cli.output import put, say
from siphon.services.call_records.records import stored_sessions
from siphon.services.dialogs import Known, listed
from siphon.services.store import StoreError, read
from siphon.state.codec import BadRecord, decode
from siphon.state.record import Record
from workers.net import boottime

OWNERS = range(SLOTS)
HEADER = ("METHOD", "CALL-ID", "FROM", "AGE", "STATE", "FINAL", "BRANCHES", "SLOT")
CALL_HEADER = ("CALL-ID", "FROM", "TO", "AGE", "STATE")


def records(place: Path) -> Iterator[tuple[int, Record]]:
    """Each transaction that can be read, with the slot that has its deadlines."""
    table = Table.view(place / TRANSACTIONS)
    for owner in OWNERS:
        for key, _, _ in table.owned(owner):
            try:
                found = read(table, key)
                if found is not None and found[1]:
                    yield owner, decode(key, found[1])
            except (StoreError, BadRecord):
                continue


def facts(owner: int, record: Record, now: float) -> dict[str, Any]:
    """One transaction; names are only ever added."""
    return {
        "method": record.method,
        "call_id": text(record.call_id),
        "cseq": record.cseq,
        "source": f"{record.source_ip}:{record.source_port}",
        "age_secs": round(max(0.0, now - record.created), 1),
        "state": state(record),
        "final": record.final_status or None,
        "in_dialog": bool(record.to_tag),
        "user": record.auth_user or None,
        "handlers_wait": bool(record.claims),
        "slot": owner,
        "branches": [
            {"target": f"{b.ip}:{b.port}", "status": b.result or b.last_status or None, "cancelled": bool(b.cancel_by)}
            for b in record.branches
        ],
    }


def state(record: Record) -> str:
    """In one word."""
    if record.final_status:
        return "answered" if record.final_status < 300 else "failed"
    if record.cancelled:
        return "cancelled"
    if not record.branches:
        return "handling"
    return "ringing" if any(b.last_status > 100 for b in record.branches) else "forwarded"


def transactions(place: Path) -> list[dict[str, Any]]:
    """All, the youngest first."""
    now = boottime()
    return sorted((facts(owner, r, now) for owner, r in records(place)), key=lambda entry: float(entry["age_secs"]))


def calls(place: Path) -> list[dict[str, Any]]:
    """Calls in setup, those that ended a moment ago, and those that go on; the youngest first."""
    found = {str(fields.get("call_id")): session(fields) for fields in stored_sessions(Table.view(place / "cdrs"))}
    up = {text(dialog.call_id): dialog for dialog in listed(Table.view(place / "dialogs"))}
    for _, record in records(place):
        name = text(record.call_id)
        if record.invite and not record.to_tag and not record.own and name not in found:
            found[name] = attempt(record, goes_on=name in up)
    for name, dialog in up.items():
        if name not in found:
            found[name] = ongoing(name, dialog)
    return sorted(found.values(), key=lambda entry: float(entry["age_secs"]))


def session(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A call that will be written down when it ends."""
    wall = time.time()
    return {
        "call_id": fields.get("call_id"),
        "from": fields.get("from_uri"),
        "to": fields.get("ruri"),
        "age_secs": round(max(0.0, wall - float(fields.get("timestamp_answer") or wall)), 1),
        "state": "up",
    }


def attempt(record: Record, goes_on: bool) -> dict[str, Any]:
    """An INVITE that is being set up, or ended a moment ago."""
    how = "up" if goes_on and state(record) == "answered" else state(record)
    return {
        "call_id": text(record.call_id),
        "from": f"{record.source_ip}:{record.source_port}",
        "to": uri_of(record),
        "age_secs": round(max(0.0, boottime() - record.created), 1),
        "state": f"{how} {record.final_status}" if record.final_status >= 300 else how,
    }


def ongoing(name: str, dialog: Known) -> dict[str, Any]:
    """A call that goes on, of which nothing else is known here."""
    return {
        "call_id": name,
        "from": f"{dialog.caller.ip}:{dialog.caller.port}",
        "to": f"{dialog.callee.ip}:{dialog.callee.port}",
        "age_secs": round(max(0.0, time.time() - dialog.since), 1),
        "state": "up",
    }


def uri_of(record: Record) -> str | None:
    """The Request-URI as received."""
    words = record.request.split(b" ", 2)
    return text(words[1]) if len(words) == 3 else None


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


# -- printing


def list_calls(place: Path, limit: int, as_json: bool) -> int:
    """Print the calls."""
    found = calls(place)
    if as_json:
        put(json.dumps(found[:limit], indent=2))
        return Exit.OK
    rows = [
        (cell(e["call_id"]), cell(e["from"]), cell(e["to"]), show.duration(e["age_secs"]), e["state"])
        for e in found[:limit]
    ]
    put("\n".join([*(show.aligned([CALL_HEADER, *rows]) if rows else []), count_of(found, limit, "call")]))
    return Exit.OK


def list_transactions(place: Path, limit: int, as_json: bool) -> int:
    """Print the transactions."""
    found = transactions(place)
    if as_json:
        put(json.dumps(found[:limit], indent=2))
        return Exit.OK
    put("\n".join([*table(found[:limit]), count_of(found, limit, "transaction")]))
    return Exit.OK


def show_call(place: Path, call_id: str, as_json: bool) -> int:
    """Print everything of one Call-ID. Exit status NOT_THERE where nothing is known."""
    mine = [entry for entry in transactions(place) if entry["call_id"] == call_id]
    call = next((entry for entry in calls(place) if entry["call_id"] == call_id), None)
    if not mine and call is None:
        say(f"{printable(call_id)}: nothing is known of it")
        return Exit.NOT_THERE
    if as_json:
        put(json.dumps({"call": call, "transactions": mine}, indent=2))
        return Exit.OK
    if call is not None:
        put(f"{cell(call['from'])} to {cell(call['to'])}: {call['state']}, {show.duration(call['age_secs'])}")
    put("\n".join(table(mine)))
    for entry in mine:
        for branch in entry["branches"]:
            end = ", cancelled" if branch["cancelled"] else ""
            put(f"  {entry['method']} {entry['cseq']} to {branch['target']}: {branch['status'] or '-'}{end}")
    return Exit.OK


def table(entries: list[dict[str, Any]]) -> list[str]:
    """A row a transaction."""
    rows = [
        (
            cell(e["method"]),
            cell(e["call_id"]),
            e["source"],
            show.duration(e["age_secs"]),
            e["state"],
            str(e["final"] or "-"),
            str(len(e["branches"])),
            str(e["slot"]),
        )
        for e in entries
    ]
    return show.aligned([HEADER, *rows]) if rows else []


def cell(value: Any) -> str:
    """What a peer chose, fit for a terminal."""
    return printable(str(value or "-"))


def count_of(found: list[dict[str, Any]], limit: int, what: str) -> str:
    """`what` in the singular."""
    told = show.counted(len(found), what, f"{what}s")
    return told if len(found) <= limit else f"{limit} of {told}"
