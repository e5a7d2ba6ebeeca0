"""`siphonctl bans`: who is banned; a ban made or taken back by hand.

The list is read like the status, without a lock and without writing. A change is made in the table itself, by the same
compare-and-swap as that of a worker, in a slot of the table that no process has; so the workers hold to it at their
next datagram.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from shm.slots import Slots
from shm.table import SlotTaken, Table
from siphon.cli import directory, show
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import SLOTS, SLOTS_FILE
from siphon.cli.output import put, say
from siphon.engine.keys import Keys
from siphon.services.bans import Ban, Bans, entries, parse_unit

TABLE = "bans"
FOR_SECS = 3600.0


def all_bans(place: Path) -> list[Ban]:
    """Those that hold now, the latest first. Raises OSError, SharedMemoryError."""
    return sorted(entries(Table.view(place / TABLE), time.time()), key=lambda ban: -ban.made_at)


@contextmanager
def writable(place: Path) -> Iterator[Bans]:
    """The list of a running instance, for changes."""
    state = directory.description(place).get("state_dir")
    if not isinstance(state, str):
        raise Refusal(Exit.NO_INSTANCE, f"the siphond with {place} is starting, or of a version without bans")
    keys = Keys(directory.instance_secret(Path(state)), [])
    table = Table.attach(place / TABLE)
    try:
        take_slot(table, Slots.attach(place / SLOTS_FILE))
        yield Bans(table, keys.table, time.time)
    finally:
        table.close()


def take_slot(table: Table, slots: Slots) -> None:
    """One that no process of the instance has, from the middle: workers begin at the ends."""
    for index in sorted(range(SLOTS), key=lambda index: abs(index - SLOTS // 2)):
        if not slots.read(index).pid:
            try:
                table.slot = index
            except SlotTaken:
                continue
            return
    raise Refusal(Exit.NO_INSTANCE, "all slots are taken; try again")


def lines(bans: Sequence[Ban], now: float) -> list[str]:
    """For people."""
    header = ("SOURCE", "USER", "REASON", "SINCE", "ENDS IN", "MADE BY")
    rows = [
        (
            ban.source,
            printable(ban.user) or "-",
            ban.reason,
            datetime.fromtimestamp(ban.made_at).strftime("%Y-%m-%d %H:%M:%S"),
            show.duration(max(0.0, ban.until - now)),
            ban.node or "this node",
        )
        for ban in bans
    ]
    return show.aligned([header, *rows]) if rows else ["nobody is banned"]


def printable(text: str) -> str:
    """A user's name as a peer chose it, fit for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)[:64]


def facts(ban: Ban, now: float) -> dict[str, Any]:
    """For programs; names are only ever added."""
    return {
        "source": ban.source,
        "user": printable(ban.user) or None,
        "reason": ban.reason,
        "made_at": round(ban.made_at, 3),
        "until": round(ban.until, 3),
        "seconds_left": round(max(0.0, ban.until - now), 1),
        "node": ban.node or None,
    }


def unit(text: str) -> str:
    """Refusal USAGE for what is no address."""
    try:
        return parse_unit(text)
    except ValueError as error:
        raise Refusal(Exit.USAGE, f"siphonctl: {error}") from None


def show_bans(place: Path, as_json: bool) -> int:
    """Print the list."""
    found, now = all_bans(place), time.time()
    listed = json.dumps([facts(ban, now) for ban in found], indent=2) if as_json else "\n".join(lines(found, now))
    put(listed)
    return Exit.OK


def lift(bans: Bans, unit: str, user: str | None = None) -> int:
    """Take back the ban of a unit, or of one user there; without `user` those of its users as well. How many went."""
    users = {ban.user for ban in bans.list() if ban.source == unit} if user is None else {user}
    return sum(bans.remove(unit, name) for name in users)


def add(place: Path, source: str, user: str, seconds: float, reason: str) -> int:
    """Make a ban."""
    wanted, now = unit(source), time.time()
    with writable(place) as bans:
        bans.add(Ban(wanted, user, reason, now, now + seconds))
    put(f"{wanted}: banned for {show.duration(seconds)}")
    return Exit.OK


def remove(place: Path, source: str, user: str | None) -> int:
    """Take back a ban; without `user` those of the source's users as well."""
    wanted = unit(source)
    with writable(place) as bans:
        gone = lift(bans, wanted, user)
    if not gone:
        say(f"{wanted}: is not banned")
        return Exit.NOT_BANNED
    put(f"{wanted}: {gone} ban{'s' if gone > 1 else ''} removed")
    return Exit.OK
