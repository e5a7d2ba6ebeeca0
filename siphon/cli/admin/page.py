"""`admin.ui`: one page for people, made here whole: no script runs in the browser, nothing is loaded from elsewhere.

It shows, and changes nothing: what is ordered goes by siphonctl or the admin interface. Everything on it is escaped;
names and addresses are what strangers have sent.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from siphon.cli.status import Status

REFRESH_SECS = 5
MOST = 200
"""Rows of a table."""
LONGEST = 200
"""Characters of a cell."""

STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.15em 1.2em .15em 0;vertical-align:top}"
    "th{font-weight:600;border-bottom:1px solid #999}td{border-bottom:1px solid #ddd;overflow-wrap:anywhere}"
    "p.none{color:#777}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(
    status: Status,
    calls: Sequence[Mapping[str, Any]],
    registrations: Sequence[Mapping[str, Any]],
    gateways: Sequence[Mapping[str, Any]],
    bans: Sequence[Mapping[str, Any]],
) -> str:
    """The page as HTML; the lists are those that the admin interface gives as JSON. Registrations may be a part of
    them: how many there are stands above."""
    name = escape(status.instance)
    parts = (
        _table("Instance", (), _instance(status)),
        _table("Processes", ("name", "pid", "state", "restarts", "datagrams"), _processes(status)),
        _table("Calls", ("Call-ID", "from", "to", "seconds", "state"), [_call(call) for call in calls]),
        _table("Registrations", ("address of record", "contact", "from", "expires in"), _contacts(registrations)),
        _table("Gateways", ("group", "destination", "state", "failures", "weight"), _destinations(gateways)),
        _table("Bans", ("source", "user", "reason", "seconds left"), [_ban(ban) for ban in bans]),
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>siphond {name}</title>'
        f'<meta http-equiv="refresh" content="{REFRESH_SECS}"><style>{STYLE}</style></head>'
        f"<body><h1>siphond {name}: {escape(status.state)}</h1>{''.join(parts)}</body></html>"
    )


Row = Sequence[object]


def _table(title: str, heads: Row, rows: Sequence[Row]) -> str:
    if not rows:
        return f'<h2>{title}</h2><p class="none">none</p>'
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in heads)}</tr>" if heads else ""
    lines = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows[:MOST])
    more = f"<p>{MOST} of {len(rows)} rows</p>" if len(rows) > MOST else ""
    return f"<h2>{title}</h2><table>{head}{lines}</table>{more}"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return escape(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")


def _instance(status: Status) -> list[Row]:
    counted = [(name.replace("_", " "), number) for name, number in status.counters.items() if number]
    return [
        ("version", status.version),
        ("up for", f"{status.uptime_secs:.0f} s"),
        ("configuration", status.configuration),
        ("listens at", ", ".join(status.listen)),
        ("script", f"version {status.script_version}"),
        ("transactions", status.transactions),
        ("registered addresses", status.addresses_of_record),
        ("banned sources", status.banned_sources),
        *counted,
    ]


def _processes(status: Status) -> list[Row]:
    return [(one.name, one.pid, one.state, one.restarts, one.datagrams) for one in status.processes]


def _call(call: Mapping[str, Any]) -> Row:
    return call["call_id"], call["from"], call["to"], call["age_secs"], call["state"]


def _contacts(registrations: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [
        (one["aor"], contact["uri"], contact["received"], f"{contact['expires']} s")
        for one in registrations
        for contact in one["contacts"]
    ]


def _destinations(gateways: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [
        (group["group"], one["uri"], _health(one), one["failures"], one["weight"])
        for group in gateways
        for one in group["destinations"]
    ]


def _health(destination: Mapping[str, Any]) -> str:
    if destination["drained"]:
        return "gets no new calls"
    return "up" if destination["usable"] else "down"


def _ban(ban: Mapping[str, Any]) -> Row:
    return ban["source"], ban["user"], ban["reason"], ban["seconds_left"]
