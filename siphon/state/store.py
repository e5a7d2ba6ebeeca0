"""The Store protocol: load and commit, the only two ways in which a decision meets state.

A store answers at once or with a `Wait`, an answer that comes later (Redis, a record whose lock is held): the engine
then parks the event as a value and takes it up again from `load`. Datagrams of a commit leave inside it, after the
switch and before anybody else can commit the same record, so that the order on the wire is the order of commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

CONFLICT = 0
"""A commit's answer: somebody else has committed since; load and decide again."""
FULL = -1
"""A commit's answer: no space; decide again in a lean form, or refuse new work."""


class Send(NamedTuple):
    """A datagram to send: bytes, (address, port), index of the listener, local address or '' for the socket's own."""

    data: bytes
    to: tuple[str, int]
    listener: int
    source: str


class Loaded(NamedTuple):
    """A record as stored: its version (> 0, never reused) and a private copy of its bytes."""

    version: int
    value: bytes


@dataclass(slots=True)
class Commit:
    """One compare-and-swap with the datagrams that depend on it.

    `expected` 0 inserts if absent; `value` None deletes. Times are CLOCK_BOOTTIME seconds, 0.0 = none.
    """

    key: bytes
    expected: int
    value: bytes | None
    owner: int = 0
    next_deadline: float = 0.0
    expiry: float = 0.0
    sends: Sequence[Send] = field(default_factory=tuple)
    new_work: bool = False  # may not use the reserve: refused with FULL first


class Wait:
    """An answer that has not come yet; `then` is called once with it, also when it is there already."""

    __slots__ = ("_callbacks", "_done", "_value")

    def __init__(self) -> None:
        self._done = False
        self._value: object = None
        self._callbacks: list[Callable[[object], None]] = []

    def then(self, callback: Callable[[object], None]) -> None:
        """Call `callback(answer)` when the answer is there."""
        if self._done:
            callback(self._value)
        else:
            self._callbacks.append(callback)

    def resolve(self, value: object) -> None:
        """The answer has come; later answers are ignored."""
        if self._done:
            return
        self._done, self._value = True, value
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(value)


def when_all(waits: Sequence[Wait], done: Callable[[bool], None]) -> None:
    """`done` once all have answered: whether each answer was True."""
    left, agreed = len(waits), True

    def answered(answer: object) -> None:
        nonlocal left, agreed
        left -= 1
        agreed = agreed and answer is True
        if not left:
            done(agreed)

    for wait in waits:
        wait.then(answered)
    if not waits:
        done(True)


class Busy(Wait):
    """The record's lock is held by another process: try again at the next turn."""

    __slots__ = ()


class Away(Wait):
    """The store cannot be reached, and nothing of what was asked will happen: `then` is called once it can be again."""

    __slots__ = ()


class Store(Protocol):
    """Where transaction records live."""

    @property
    def at_once(self) -> bool:
        """No answer of it is ever a Wait, but that a lock is Busy."""

    def load(self, key: bytes) -> Loaded | None | Wait:
        """The record's version and a private copy; None when there is none (or it has expired)."""

    def commit(self, commit: Commit) -> int | Wait:
        """The new version (> 0), CONFLICT or FULL; the datagrams have left exactly when it is > 0."""

    def head(self, key: bytes) -> tuple[int, int] | None | Wait:
        """(version, owner) without copying the record; None when there is none. What a timer reads first."""

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """(key, version, next deadline) of every record with a deadline that this slot owns."""
