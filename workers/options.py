"""What a supervisor is told at its start: counts, limits, and what it calls. Plain data, made before the first fork."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from workers.application import Application, Log
from workers.notify import Notifier
from workers.predecessor import Predecessor


def log_to_stderr(level: str, event: str, **fields: object) -> None:
    print(level, event, *(f"{key}={value}" for key, value in fields.items()), file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Extra:
    """A helper with an application of its own. It is no part of the crew: it has no sockets and no deadlines, so nobody
    serves its slot while it is down. `wanted()` is asked at the start and after each reload; once there, it stays."""

    name: str
    make_application: Callable[[], Application]
    wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Progress:
    """How many reloads, or upgrades, have begun and ended since the start; they differ while one runs. `error` is why
    the last one that ended was refused, has failed, or did not reach all processes; empty when it did."""

    begun: int = 0
    ended: int = 0
    error: str = ""


@dataclass(slots=True)
class Limits:
    """How long a supervisor waits at most, seconds. `accepted()` may change them: they count from then on."""

    drain_secs: float = 30.0
    handler_stall_abort_secs: float = 30.0
    upgrade_secs: float = 60.0
    """Until the next one of a hand-over serves."""


@dataclass(frozen=True, slots=True)
class Succession:
    """What a supervisor must know of its application to hand over to the next one.

    `command()` is what is executed; `facts()` and `descriptors()` are given to it beside the sockets. `given()` is
    called when the next one has become the instance, `taken_back()` when it has not, or has died; `report()` hears of
    the progress.
    """

    command: Callable[[], Sequence[str]]
    facts: Callable[[], Mapping[str, object]]
    descriptors: Callable[[], Sequence[int]]
    given: Callable[[], None]
    taken_back: Callable[[], None]
    report: Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Options:
    """`slot_count` is the size of the slot table: workers take the rows from `first_slot` on, the timer helper
    `last_slot` (the last one of all if absent), `extras` those before it, the first of them the highest.

    `has_work(slot)` says whether an earlier run has left deadlines in a slot. What `validate()` gives in a scratch
    process is given to `accepted()` here and sent to all processes; `reloading()` hears when a reload begins and ends.
    """

    count: int
    slot_count: int = 64
    limits: Limits = field(default_factory=Limits)
    helper: bool = True
    extras: Sequence[Extra] = ()
    batch: int = 32
    stale_after: float = 4.0
    keep_stale: Callable[[bytes], bool] | None = None
    has_work: Callable[[int], bool] = lambda slot: True
    validate: Callable[[], bytes] | None = None
    accepted: Callable[[bytes], None] = lambda payload: None
    reloading: Callable[[Progress], None] = lambda progress: None
    idle: Callable[[], bool] | None = None
    first_slot: int = 0
    last_slot: int | None = None
    predecessor: Predecessor | None = None
    """Who hands over to this one."""
    succeeded: Callable[[], None] = lambda: None
    """Called when nothing is left of the predecessor."""
    succession: Succession | None = None
    notifier: Notifier = field(default_factory=Notifier)
    log: Log = log_to_stderr
    program: str = "siphond"
