"""From one siphond to the next without a stop: what is executed, what the next one must agree with, and what siphonctl
is told of it.

The next one reads its configuration anew. It may have more or fewer workers, another steering, other buffers, and
further addresses behind those that are there. It may not have other tables, another secret, or other addresses in the
place of those that live records name by their number: that needs a stop and a start.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from shm._layout import VERSION as TABLE_LAYOUT
from shm._slots import LAYOUT as SLOTS_LAYOUT
from siphon.cli import directory
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import need
from siphon.config.settings import Settings
from siphon.config.version import VERSION
from siphon.services.location.binding import VERSION as BINDING_LAYOUT
from siphon.state.layout import LAYOUT as RECORD_LAYOUT
from workers.scratch import LIMIT_SECS

LOOK = "whether the next one serves is told by `siphonctl status`"
MORE_SECS = 10.0
"""Beyond the limits of a reload that may run before, and of the upgrade itself."""


def layouts() -> dict[str, int]:
    """What this program writes into shared memory, by kind."""
    return {"table": TABLE_LAYOUT, "slots": SLOTS_LAYOUT, "transaction": RECORD_LAYOUT, "binding": BINDING_LAYOUT}


def command() -> list[str]:
    """This program as it lies on disk now, with the arguments that this process was started with; an upgrade forgets
    nothing, so without --fresh."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--fresh"]
    program = sys.argv[0]
    if "/" not in program:
        program = shutil.which(program) or program
    if os.access(program, os.X_OK) and not os.path.isdir(program):
        return [os.path.abspath(program), *arguments]
    original = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    return [sys.executable, *original[1:], *arguments]


def facts_of(settings: Settings) -> dict[str, object]:
    """What the next one must agree with."""
    return {
        "version": VERSION,
        "layouts": layouts(),
        "shared": str(settings.shared.path),
        "state_dir": str(settings.server.state_dir),
        "listen": listed(settings),
        "stores": stores(settings),
    }


def stores(settings: Settings) -> str:
    """A digest of where bindings and transactions lie: a URL may hold a password."""
    named = (settings.location_store, settings.shared.transactions)
    return blake2b(repr(named).encode(), digest_size=16).hexdigest()


def listed(settings: Settings) -> list[list[object]]:
    return [[address.address, address.advertise] for address in settings.listen.udp]


def require_agreement(facts: Mapping[str, Any], lock: int, settings: Settings) -> None:
    """Refusal where this siphond cannot go on with what another one has in use. `lock` is that one's."""
    theirs, ours = facts.get("layouts"), layouts()
    if theirs != ours:
        what = f"it uses {said(theirs)}, siphond {VERSION} uses {said(ours)}"
        refuse(f"the layout of shared memory has changed: siphond {facts.get('version')} runs, {what}")
    place = settings.shared.path
    if not is_lock_of(lock, place):
        refuse(f"shared.path: {place} is another directory than that of the siphond that runs ({facts.get('shared')})")
    if str(settings.server.state_dir) != facts.get("state_dir"):
        refuse(
            f"server.state_dir is {settings.server.state_dir}, that of the siphond that runs {facts.get('state_dir')}"
        )
    if stores(settings) != facts.get("stores"):
        refuse("shared.location, shared.transactions or registrar.redis has changed")
    before = facts.get("listen")
    if not isinstance(before, list) or listed(settings)[: len(before)] != before:
        refuse("listen.udp: an upgrade may add addresses behind those that are there, but not change or remove any")


def needed(before: Settings, after: Settings, changed: Sequence[str]) -> str:
    """What helps where a reload refuses these changes: names them, and says whether an upgrade takes them over."""
    refused = [name for name in changed if not takes_over(before, after, name)]
    if not refused:
        return f"needs a restart: {', '.join(changed)}; `siphonctl upgrade` is enough"
    others = "" if len(refused) == len(changed) else f" (for {', '.join(refused)})"
    return f"needs a stop and a start{others}: {', '.join(changed)}"


def takes_over(before: Settings, after: Settings, name: str) -> bool:
    """Whether an upgrade takes over a change of this setting: the next siphond agrees, and its tables are the same."""
    if name == "listen.udp":
        return listed(after)[: len(before.listen.udp)] == listed(before)
    if name == "server.state_dir":
        return False
    if name == "workers.count":  # small tables have a reserve that goes by it
        return need(before) == need(after)
    if name.startswith("registrar."):
        return stores(before) == stores(after)
    return not name.startswith("shared.") or name == "shared.timeout_ms"


def said(found: object) -> str:
    if not isinstance(found, dict):
        return "one that is not known"
    return ", ".join(f"{name} layout {number}" for name, number in found.items())


def is_lock_of(lock: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), (place / directory.LOCK).stat())
    except OSError:
        return False


def refuse(why: str) -> None:
    raise Refusal(Exit.CONFIGURATION, f"{why}: this needs a stop and a start")


def outcome(place: Path, pid: int, ask: Callable[[], object], limit_secs: float) -> str:
    """Asks process `pid` for an upgrade and waits for what comes of it: the reason why it failed, or an empty text."""
    begun = counted(place, pid).get("begun", 0)
    ask()
    deadline = time.monotonic() + LIMIT_SECS + limit_secs + MORE_SECS
    while time.monotonic() < deadline:
        found = counted(place, pid)
        if found.get("ended", 0) > begun:
            return str(found["error"])
        if directory.start_time(pid) == 0:
            return "" if directory.holder(place) else f"siphond, process {pid}, has ended; {LOOK}"
        time.sleep(0.02)
    return "nothing came of it; the log may say why"


def counted(place: Path, pid: int) -> dict[str, Any]:
    """What a process has noted of its upgrades; one that has just taken over has not noted any."""
    found = directory.read_note(place, directory.UPGRADES)
    return found if found.get("pid") == pid else {}


def note(place: Path, begun: int, ended: int, error: str) -> None:
    directory.write_note(
        place, directory.UPGRADES, {"pid": os.getpid(), "begun": begun, "ended": ended, "error": error}
    )
