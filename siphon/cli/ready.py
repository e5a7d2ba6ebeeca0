"""Whether an instance takes new work: what `siphonctl ready` tells a load balancer, an orchestrator or a deployment.

Read like `siphonctl status`, without a lock and without writing. An instance is ready when no flag of the slot table is
up (workers/application.py says who raises which), all tables are there, and at least one worker beats: a worker that is
being replaced takes nothing away, since its siblings serve its sockets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from siphon.cli.status import Status, read
from workers.application import Flag


class Reason(NamedTuple):
    """Why it is not ready: a name for programs, a text for people."""

    name: str
    text: str


FLAGS = {
    Flag.STARTING: Reason("starting", "it is starting: not every process is ready yet"),
    Flag.DRAINING: Reason("draining", "it drains: running calls end, new work gets 503"),
    Flag.STATE_BEHIND: Reason("mirror", "the bindings have not been read from Redis yet: new work gets 503"),
    Flag.STATE_AWAY: Reason("shared_state", "the shared state cannot be reached: new work gets 503"),
}
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ready when there is no reason against it."""

    reasons: tuple[Reason, ...]

    @property
    def ready(self) -> bool:
        return not self.reasons

    def lines(self) -> list[str]:
        """For people."""
        return ["ready"] if self.ready else [f"not ready: {reason.text}" for reason in self.reasons]

    def to_json(self) -> dict[str, Any]:
        """For programs; names are only ever added."""
        return {
            "ready": self.ready,
            "reasons": [reason.name for reason in self.reasons],
            "texts": [reason.text for reason in self.reasons],
        }


def readiness(place: Path) -> Readiness:
    """Of the instance that holds a shared directory."""
    found = read(place)
    return Readiness((FLAGS[Flag.STARTING],) if found is None else tuple(reasons(found)))


def reasons(found: Status) -> list[Reason]:
    """What is against it, the most important first."""
    against = [reason for flag, reason in FLAGS.items() if found.flags & flag]
    for name, facts in found.tables.items():
        if facts is None:
            against.append(Reason("table", f"the table {name} is missing or cannot be read"))
    if not against and not any(process.beats for process in found.processes if process.name.startswith("worker")):
        against.append(Reason("workers", "no worker beats"))
    return against
