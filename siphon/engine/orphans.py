"""Claims of this process whose handlers do not run in it: of commits that it thinks were never made, or were undone.

Over a store on another machine a process may not know what stands. The answer to a commit is lost, another process
commits on top of it, and the repeated commit is told of a conflict: what it had claimed is in the record all the same.
Or the store fails over and gives back a record as it was before the handlers' outcome. To everybody else the claimant
lives, so they renew the claim; only the claimant itself can see that it does nothing.

    us                                        another process
    commit v7 -> v8: claim, handlers to run
    (the answer is lost)                      load v8, commit v9
    commit v7 -> v8 again: conflict
    load v9: a claim of ours that does not run here: claimed again, and run

That is seen whenever the claimant loads the record. While only others touch it, whoever renews the claim reminds the
claimant, which then looks: by its pipe within a node, by a list in the store between two (Remote.remind).

What had been refused meanwhile (new work whose first commit got no answer) is not run, but refused once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from siphon.engine.answers import answer
from siphon.engine.environment import Environment
from siphon.engine.timers import fire
from siphon.state.record import Claim, ClaimKind, Record
from siphon.transaction.step import Step

REFUSAL = (503, "Service Unavailable", [("Retry-After", "5")])

Work = tuple[bytes, int, int]
"""Record, kind of claim, number of the branch or of the attempt."""


def work_of(record: Record, claim: Claim) -> Work:
    """on_failure is work for each attempt, whatever has become of what it was for the one before."""
    return record.key, claim.kind, record.attempts if claim.kind == ClaimKind.FAILURE else claim.branch


class AtWork:
    """What handlers run in this process, or have ended and wait for the commit of their outcome."""

    __slots__ = ("_works",)

    def __init__(self) -> None:
        self._works: set[Work] = set()

    def begin(self, record: Record, claim: Claim) -> None:
        """Its handlers begin."""
        self._works.add(work_of(record, claim))

    def end(self, work: Work) -> None:
        """Their outcome is committed, or counts no more."""
        self._works.discard(work)

    def orphans(self, record: Record, env: Environment) -> list[Claim]:
        """The claims of a record that only this process can know to be nobody's."""
        return [
            claim
            for claim in record.claims
            if claim.slot == env.slot
            and claim.generation == env.generation
            and work_of(record, claim) not in self._works
        ]


@dataclass(slots=True)
class LookEvent:
    """A record is to be looked at, for claims of ours that do not run here: the core does so with whatever it loads."""

    key: bytes

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | None:
        """See Event.decide."""
        return None


@dataclass(slots=True)
class OrphanEvent:
    """Claims of ours are looked after as those of the dead are. `refused`: the request has got its 503."""

    key: bytes
    at_work: AtWork
    refused: bool = False

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | None:
        """See Event.decide."""
        orphans = [] if record is None else self.at_work.orphans(record, env)
        if record is None or not orphans:
            return None
        for claim in orphans:
            claim.deadline = now
        step = Step(record, now, env.timing)
        if self.refused and not record.final_status and record.claim(ClaimKind.REQUEST) in orphans:
            record.drop_claim(ClaimKind.REQUEST, 0)
            answer(step, env, *REFUSAL)
            return step
        orphaned = {(claim.slot, claim.generation) for claim in orphans}
        return step if fire(step, env, lambda slot, generation: (slot, generation) not in orphaned) else None
