"""The Store over an in-memory table: the simulator and the engine's tests.

`send` is called for each datagram inside the commit, after the switch, as the outbox is over shared memory. `gate` is
called at each point of a commit at which a process may die: "load", "commit" (nothing has happened), "switched" (the
new record stands, nothing is sent), "sent" (after each datagram) and "committed". What it raises reaches the caller.

LateStore wraps a store so that its answers come late and out of order, as those of a store on another machine do.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from siphon.state.memory import BUSY, MemoryTable
from siphon.state.memory import CONFLICT as TABLE_CONFLICT
from siphon.state.store import CONFLICT, FULL, Busy, Commit, Loaded, Send, Wait


class MemoryStore:
    """A store over a MemoryTable that several engines of one process may share."""

    at_once = True

    def __init__(
        self, table: MemoryTable, send: Callable[[Send], None], gate: Callable[[str], None] = lambda point: None
    ) -> None:
        self._table = table
        self._send = send
        self._gate = gate

    def load(self, key: bytes) -> Loaded | None | Wait:
        """See Store.load."""
        self._gate("load")
        found = self._table.get(key)
        if found is None:
            return None
        if isinstance(found, int):
            return Busy()
        return Loaded(*found)

    def commit(self, commit: Commit) -> int | Wait:
        """See Store.commit."""
        self._gate("commit")
        if commit.value is None:
            result = self._table.delete(commit.key, commit.expected)
        else:
            result = self._table.commit(
                commit.key,
                commit.expected,
                commit.value,
                owner=commit.owner,
                next_deadline=commit.next_deadline,
                expiry=commit.expiry,
                use_reserve=not commit.new_work,
            )
        if result == BUSY:
            return Busy()
        if result <= 0:
            return CONFLICT if result == TABLE_CONFLICT else FULL
        self._gate("switched")
        for send in commit.sends:
            self._send(send)
            self._gate("sent")
        self._gate("committed")
        return result

    def head(self, key: bytes) -> tuple[int, int] | None:
        """See Store.head."""
        head = self._table.head(key)
        return None if head is None else (head.version, head.owner)

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """See Store.owned."""
        return [entry for entry in self._table.owned(owner) if entry[2] > 0.0]


class LateStore:
    """A store whose answers come when `deliver` is called, in an order drawn from `random`."""

    at_once = False

    def __init__(self, inner: MemoryStore, random: Random) -> None:
        self._inner = inner
        self._random = random
        self._waiting: list[Callable[[], None]] = []

    def load(self, key: bytes) -> Loaded | None | Wait:
        """See Store.load; always a Wait."""
        return self._later(lambda: self._inner.load(key))

    def commit(self, commit: Commit) -> int | Wait:
        """See Store.commit; always a Wait."""
        return self._later(lambda: self._inner.commit(commit))

    def head(self, key: bytes) -> tuple[int, int] | None:
        """See Store.head."""
        return self._inner.head(key)

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """See Store.owned."""
        return self._inner.owned(owner)

    def _later(self, call: Callable[[], object]) -> Wait:
        wait = Wait()
        self._waiting.append(lambda: wait.resolve(call()))
        return wait

    @property
    def waiting(self) -> int:
        """Answers that have not been given yet."""
        return len(self._waiting)

    def forget(self) -> None:
        """Its process is gone: what it has asked for is never done."""
        self._waiting.clear()

    def deliver(self) -> None:
        """Give one of the waiting answers, drawn at random."""
        if self._waiting:
            self._waiting.pop(self._random.randrange(len(self._waiting)))()
