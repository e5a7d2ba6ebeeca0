"""`siphonctl registrations`: who is registered, and how to end it.

Reading takes no lock and needs no process. Removing writes to the table of bindings as a process of the instance would,
in a slot that nobody has; the helper that runs `registrar.on_change` finds the event within two seconds. With bindings
in Redis this table only mirrors them, so removing is left to the admin interface.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from shm.slots import Slots
from shm.table import Table
from siphon.cli import directory, show
from siphon.cli.admin.registrations import contact, page, require_aor
from siphon.cli.bans import printable, take_slot
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import SLOTS_FILE
from siphon.cli.output import put, say
from siphon.config.errors import ConfigurationError
from siphon.config.load import load
from siphon.config.settings import Settings
from siphon.engine.facts import identity_of
from siphon.engine.keys import Keys
from siphon.services.location import Location

TABLE = "location"
PORTION = 5000
HEADER = ("ADDRESS OF RECORD", "CONTACT", "EXPIRES", "AGE", "RECEIVED", "TRANSPORT")


def location_of(place: Path, table: Table) -> tuple[Location, Settings]:
    """The bindings of a running instance, and the settings that it was started with, as they are on disk now."""
    facts = directory.description(place)
    state, file = facts.get("state_dir"), facts.get("configuration")
    if not isinstance(state, str) or not isinstance(file, str):
        raise Refusal(Exit.NO_INSTANCE, f"the siphond with {place} is starting")
    try:
        settings = load(Path(file))
    except ConfigurationError as error:
        raise Refusal(Exit.USAGE, str(error)) from None
    keys = Keys(directory.instance_secret(Path(state)), [])
    mirrors = settings.location_store is not None
    return Location(table, identity_of(settings), settings, keys.table, mirrors=mirrors), settings


def every(place: Path) -> list[dict[str, Any]]:
    """All of them, by address of record."""
    location, _ = location_of(place, Table.view(place / TABLE))
    found, cursor = page(location, PORTION, 0)
    while cursor:
        more, cursor = page(location, PORTION, cursor)
        found += more
    return sorted(found, key=lambda entry: str(entry["aor"]))


def one(place: Path, text: str) -> dict[str, Any] | None:
    """One of them; None where it has no binding."""
    location, _ = location_of(place, Table.view(place / TABLE))
    wall = time.time()
    bindings = location.lookup(aor_of(text), wall)
    return {"aor": aor_of(text), "contacts": [contact(b, wall) for b in bindings]} if bindings else None


def aor_of(text: str) -> str:
    """Refusal USAGE for what is no address of record."""
    try:
        return require_aor(text)
    except ValueError as error:
        raise Refusal(Exit.USAGE, f"siphonctl: {error}") from None


def lines(entries: list[dict[str, Any]]) -> list[str]:
    """A row a contact."""
    rows = [
        (
            printable(entry["aor"]),
            printable(found["uri"]),
            show.duration(found["expires"]),
            show.duration(found["age"]),
            found["received"],
            found["transport"],
        )
        for entry in entries
        for found in entry["contacts"]
    ]
    addresses = show.counted(len(entries), "address", "addresses")
    count = f"{addresses} of record, {show.counted(len(rows), 'contact', 'contacts')}"
    return [*(show.aligned([HEADER, *rows]) if rows else []), count]


def list_all(place: Path, as_json: bool) -> int:
    """Print all."""
    found = every(place)
    put(json.dumps(found, indent=2) if as_json else "\n".join(lines(found)))
    return Exit.OK


def show_one(place: Path, text: str, as_json: bool) -> int:
    """Print one with everything that is known of it."""
    found = one(place, text)
    if found is None:
        return not_there(text)
    if as_json:
        put(json.dumps(found, indent=2))
        return Exit.OK
    put(printable(found["aor"]))
    for binding in found["contacts"]:
        put("")
        for name, value in binding.items():
            text = ", ".join(value) if isinstance(value, list) else "-" if value is None else str(value)
            put(f"  {name:<10} {printable(text) or '-'}")
    return Exit.OK


def remove(place: Path, text: str) -> int:
    """Drop all bindings of an address of record."""
    table = Table.attach(place / TABLE)
    try:
        location, settings = location_of(place, table)
        if settings.location_store is not None:
            what = "the bindings are in Redis: DELETE /admin/registrations/AOR of the admin interface removes them"
            raise Refusal(Exit.USAGE, what)
        take_slot(table, Slots.attach(place / SLOTS_FILE))
        if "events" in directory.description(place).get("helpers", []):
            location.tell = lambda key: None  # the helper looks by itself
        gone = location.remove(aor_of(text), time.time())
    finally:
        table.close()
    if not gone:
        return not_there(text)
    put(f"{printable(aor_of(text))}: {show.counted(len(gone), 'contact', 'contacts')} removed")
    return Exit.OK


def not_there(text: str) -> int:
    hint = "" if "@" in text else "; an address of record has a domain, as in sip:alice@example.com"
    say(f"{printable(text)}: is not registered{hint}")
    return Exit.NOT_THERE
