"""What an administrator tells the prober of gateways: files in a directory below the shared one, as siphonctl is no
process of the instance and has no slot in its tables.

    siphonctl      writes .NAME, renames it to NAME.order: group, destination, what to do; waits for NAME.done
    the prober     once a second takes each NAME.order, carries it out, writes NAME.done and removes the order
    siphonctl      reads NAME.done and removes it

An order is carried out once, or twice where the prober dies between the two; each sets what it says, so that is the
same. Nobody may come for a NAME.done: it goes after KEPT_SECS.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from siphon.services.balancing import Groups
from siphon.services.store import StoreError

DIRECTORY = "gateway-orders"
ORDER, DONE = ".order", ".done"
KEPT_SECS = 60.0
ACTIONS = ("up", "down", "drain")


class FileOrder:
    """One of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def carry_out(self, groups: Groups) -> None:
        """Do it and say so."""
        with suppress(OSError):
            _write(self._path.with_suffix(DONE), {"error": self._error(groups)})
            self._path.unlink()

    def _error(self, groups: Groups) -> str:
        try:
            facts = json.loads(self._path.read_bytes())
            group, destination, action = (str(facts[name]) for name in ("group", "destination", "action"))
            return carry_out(groups, group, destination, action)
        except (OSError, ValueError, KeyError, TypeError, StoreError) as error:
            return str(error) or type(error).__name__


def carry_out(groups: Groups, group: str, destination: str, action: str) -> str:
    """Why it was not done, "" where it was. Raises StoreError."""
    if groups.view(group) is None:
        return f"there is no group {group!r}; there are: {', '.join(groups.names()) or 'none'}"
    if action not in ACTIONS:
        return f"{action!r} is none of {', '.join(ACTIONS)}"
    done = groups.drain(group, destination) if action == "drain" else groups.mark(group, destination, action == "up")
    return "" if done else f"the group {group!r} has no destination {destination!r}"


class Orders:
    """The prober's side. `path` is the shared directory."""

    def __init__(self, path: Path) -> None:
        self._directory = path / DIRECTORY

    def take(self) -> Iterator[FileOrder]:
        """Those that have come."""
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:
            return
        for name in names:
            path = self._directory / name
            if name.endswith(ORDER):
                yield FileOrder(path)
            else:
                _forget_if_old(path)


def _forget_if_old(path: Path) -> None:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > KEPT_SECS:
            path.unlink()


def give(path: Path, group: str, destination: str, action: str) -> Path:
    """siphonctl's side: the file that the answer will come in."""
    directory = path / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    order = directory / f"{os.getpid()}-{time.monotonic_ns()}{ORDER}"
    _write(order, {"group": group, "destination": destination, "action": action})
    return order.with_suffix(DONE)


def answer(done: Path, seconds: float) -> str | None:
    """The answer, "" where it was done; None where none has come: then the order is taken back."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(done.read_bytes())
            done.unlink()
            return str(found["error"])
        time.sleep(0.02)
    done.with_suffix(ORDER).unlink(missing_ok=True)
    return None


def _write(path: Path, facts: dict[str, str]) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(facts))
    draft.rename(path)
