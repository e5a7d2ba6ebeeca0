"""A status as a table for people."""

from collections.abc import Sequence

from siphon.cli.memory import megabytes
from siphon.cli.status import Journal, Process, Status

ALWAYS = ("requests", "responses", "sent", "retransmissions")
"""Counters that are shown even when they are zero; of the others only what has happened."""


def lines(status: Status) -> list[str]:
    """Lines without their ends."""
    state = status.state if status.all_beat else f"{status.state}, not all workers beat"
    up = duration(status.uptime_secs)
    return [
        f"siphond {status.version}, instance {status.instance}, pid {status.pid}, {state}, up {up}",
        f"configuration {status.configuration}, script version {status.script_version}",
        f"listening on {', '.join(status.listen)}",
        "",
        *processes(status.processes),
        "",
        *tables(status),
        "",
        *counters(status.counters),
    ]


def processes(rows: Sequence[Process]) -> list[str]:
    header = ("PROCESS", "PID", "STATE", "HEARTBEAT", "RESTARTS", "DATAGRAMS")
    return aligned([header, *(process(row) for row in rows)])


def process(row: Process) -> tuple[str, ...]:
    state = row.state if row.in_handler is None else f"{row.state} {duration(row.in_handler)}"
    beat = "-" if row.heartbeat_age is None else f"{duration(row.heartbeat_age)} ago"
    return row.name, str(row.pid or "-"), state, beat, str(row.restarts), str(row.datagrams)


def tables(status: Status) -> list[str]:
    header = ("TABLE", "RECORDS", "OF", "BLOCKS FREE", "OF", "SIZE", "FULL", "DAMAGED")
    rows: list[Sequence[str]] = [header]
    for name, facts in status.tables.items():
        if facts is None:
            rows.append((name, "unreadable", "", "", "", "", "", ""))
            continue
        keys = ("records", "records_max", "blocks_free", "blocks_max")
        numbers = [str(facts[key]) for key in keys]
        rows.append((name, *numbers, megabytes(facts["bytes"]), str(facts["full"]), str(facts["corrupt"])))
    count = status.addresses_of_record
    registered = f"{counted(count, 'address', 'addresses')} of record {'is' if count == 1 else 'are'} registered"
    kept = [] if status.journal is None else [journal(status.journal)]
    return [*aligned(rows), registered, *kept]


def journal(found: Journal) -> str:
    """What of them outlives a reboot."""
    text = f"journal: {found.records} of them in {megabytes(found.bytes)}"
    if found.is_compacting:
        text += ", a new one is being written"
    if found.waiting:
        text += f", {counted(found.waiting, 'change waits', 'changes wait')}"
    if found.behind_secs:
        text += f", behind for {duration(found.behind_secs)}"
    return text if found.error is None else f"{text}, error: {found.error}"


def counters(found: dict[str, int]) -> list[str]:
    """Four a line."""
    words = [f"{name} {number}" for name, number in found.items() if number or name in ALWAYS]
    width = max(map(len, words), default=0) + 2
    return ["".join(word.ljust(width) for word in words[at : at + 4]).rstrip() for at in range(0, len(words), 4)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [
        all(row[column].isdigit() or row[column] in ("", "-") for row in rows[1:]) for column in range(len(widths))
    ]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    ]


def counted(number: int, one: str, more: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else more}"


def duration(seconds: float) -> str:
    """As people say it: 12 ms, 3.2 s, 5 min, 2 h 5 min, 3 d 4 h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
