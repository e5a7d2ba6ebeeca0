"""The store of a simulated worker: it may answer late, hold a lock, or let a sibling commit first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from siphon.state.memory import BUSY, MemoryTable
from siphon.state.memory_store import MemoryStore
from siphon.state.store import Busy, Commit, Loaded, Wait
from siphon.testing.worker import VirtualWorker, WorkerDied

if TYPE_CHECKING:
    from siphon.testing.simulated import SimulatedWorld


class SimStore:
    """A Store over the world's table with the faults of the run."""

    def __init__(self, world: SimulatedWorld, worker: VirtualWorker, inner: MemoryStore) -> None:
        self._world = world
        self._worker = worker
        self._inner = inner
        self._faults = world.faults

    @property
    def at_once(self) -> bool:
        """See Store.at_once."""
        return not self._faults.slow or self._worker.is_helper

    def load(self, key: bytes) -> Loaded | None | Wait:
        """See Store.load."""
        return self._answer(lambda: self._load(key))  # type: ignore[return-value]

    def commit(self, commit: Commit) -> int | Wait:
        """See Store.commit."""
        return self._answer(lambda: self._commit(commit))  # type: ignore[return-value]

    def head(self, key: bytes) -> tuple[int, int] | None:
        """See Store.head."""
        return self._inner.head(key)

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """See Store.owned."""
        return self._inner.owned(owner)

    def _load(self, key: bytes) -> object:
        self._must_live()
        return Busy() if self._faults.happens(self._faults.busy) else self._inner.load(key)

    def _commit(self, commit: Commit) -> object:
        self._must_live()
        if self._faults.happens(self._faults.busy):
            return Busy()
        if self._faults.happens(self._faults.conflicts):
            self._world.interfere(commit.key, self._worker)
        result = self._inner.commit(commit)
        if isinstance(result, int) and result > 0:
            self._world.checks.committed(commit)
        return result

    def _must_live(self) -> None:
        """A worker that has died in a commit does nothing more, whoever caught the exception."""
        if not self._worker.alive:
            raise WorkerDied

    def _answer(self, call: Callable[[], object]) -> object:
        if self.at_once:
            return call()
        assert self._faults.random is not None
        there, back = (self._faults.random.random() * self._faults.slow / 2 for _ in range(2))
        wait = Wait()
        self._world.schedule.at(self._world.clock() + there, self._execute, call, wait, back)
        return wait

    def _execute(self, call: Callable[[], object], wait: Wait, back: float) -> None:
        """The store does what was asked; what a dead worker has asked for is lost."""
        if not self._worker.alive:
            return
        try:
            answer = call()
        except WorkerDied:
            return
        self._world.schedule.at(self._world.clock() + back, self._worker.turn, wait.resolve, answer)


class SimLocation(MemoryTable):
    """The table of location with the faults of the run; every record stored is checked. `begin` turns both on."""

    world: SimulatedWorld | None = None

    def begin(self, world: SimulatedWorld) -> None:
        """The world is made."""
        self.world = world

    def commit(self, key: bytes, expected: int, value: bytes, **facts: Any) -> int:
        """See MemoryTable.commit; a sibling may be faster, or hold the lock."""
        world = self.world
        if world is None:
            return super().commit(key, expected, value, **facts)
        if world.faults.happens(world.faults.busy):
            return BUSY
        if world.changes is not None and world.faults.happens(world.faults.conflicts):
            world.changes.interfere(key)
        answer = super().commit(key, expected, value, **facts)
        if answer > 0:
            world.checks.registrations.stored(key, value)
        return answer

    def delete(self, key: bytes, expected: int, **facts: Any) -> int:
        """See MemoryTable.delete."""
        answer = super().delete(key, expected, **facts)
        if answer == 1 and self.world is not None:
            self.world.checks.registrations.deleted(key)
        return answer
