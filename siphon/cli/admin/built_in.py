"""The metrics of siphond itself, made from what `siphonctl status` reads: counters of the slots, and the tables.

Counters live in shared memory: they survive the death of every process and go on after a restart with the same tables.
So a rate over them is right without looking at who counted.
"""

from __future__ import annotations

from siphon.cli.status import Status
from siphon.engine.counters import Counter
from siphon.engine.durations import BOUNDS
from siphon.services.metrics.families import Family, Sample, histogram
from workers.application import Counter as ProcessCounter

NAMED = {
    "requests": ("siphon_requests_total", "Requests received."),
    "responses": ("siphon_responses_total", "Responses received."),
    "auth_failures": ("siphon_auth_failures_total", "Credentials that did not verify."),
    "malformed": ("siphon_malformed_messages_total", "Messages that could not be parsed."),
    "script_errors": ("siphon_script_errors_total", "Exceptions out of handlers."),
    "script_runs": ("siphon_script_executions_total", "Runs of handlers."),
    "route_unsigned": ("siphon_route_unsigned_total", "Routes to us that did not bear our signature."),
    "restarts": ("siphon_worker_restarts_total", "Processes that died and were started again."),
    "full": ("siphon_shared_full_total", "Requests refused because a shared table was full."),
    "kernel_drops": ("siphon_kernel_drops_total", "Datagrams that the kernel dropped because a socket was full."),
    "rate_limited": ("siphon_rate_limited_total", "Requests refused because their source sent too many."),
    "scanner_blocked": ("siphon_scanner_blocked_total", "Requests dropped because a scanner sent them."),
}
"""Counters that have a name of their own. One that this build does not have is not told."""

OTHERS = {
    name.lower(): f"siphon_{name.lower()}_total"
    for name in (*ProcessCounter.__members__, *Counter.__members__)
    if name != "FIRST_FREE" and name.lower() not in NAMED
}

DURATION = "siphon_request_duration_seconds"


def built_in(status: Status) -> list[Family]:
    """All of them, at one moment."""
    found = status.counters
    made = [_counter(name, text, found[key]) for key, (name, text) in NAMED.items() if key in found]
    made += [_counter(name, f"Counter {key} of siphonctl status.", found[key]) for key, name in OTHERS.items()]
    processes = [process for process in status.processes if process.name.startswith("worker")]
    tables = {name: facts for name, facts in status.tables.items() if facts is not None}
    made += [
        _gauge("siphon_registrations_active", "Addresses of record with a live binding.", status.addresses_of_record),
        _gauge("siphon_transactions_active", "Records of transactions.", status.transactions),
        _gauge("siphon_proxy_dialog_sessions", "Dialogs remembered.", tables.get("dialogs", {}).get("records", 0)),
        _gauge("siphon_cdr_sessions", "Calls that will be written as a call detail record.", status.cdr_sessions),
        _gauge("siphon_banned_ips", "IPv4 addresses and IPv6 /64 that are banned.", status.banned_sources),
        _gauge("siphon_connections_active", "Connections of stream transports.", 0),
        _gauge("siphon_uptime_seconds", "Seconds since the start.", status.uptime_secs),
        _gauge("siphon_workers", "Workers that beat.", sum(process.beats for process in processes)),
        _tables("siphon_table_records", "Records in a shared table.", tables, "records"),
        _tables("siphon_table_records_max", "Records that a shared table has room for.", tables, "records_max"),
        _tables("siphon_table_damage", "Damage found in a shared table.", tables, "corrupt"),
    ]
    lines = list(histogram({}, BOUNDS, status.durations))
    made.append(Family(DURATION, "histogram", "Seconds that requests are with the script.", lines))
    return sorted(made, key=lambda family: family.name)


def _counter(name: str, text: str, value: float) -> Family:
    return Family(name, "counter", text, [Sample("", {}, value)])


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(name, "gauge", text, [Sample("", {}, value)])


def _tables(name: str, text: str, tables: dict[str, dict[str, int]], fact: str) -> Family:
    samples = [Sample("", {"table": table}, facts[fact]) for table, facts in tables.items()]
    return Family(name, "gauge", text, samples)
