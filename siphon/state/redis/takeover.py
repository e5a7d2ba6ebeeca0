"""Taking over what a dead node owned: its index of each partition, portion by portion.

Every process of every node may do it at the same time, since a portion moves in one step and each record once. A number
stays dead for a while after its indexes are empty (a write that was under way enters late), so they are looked at
again every AGAIN_SECS until the far store has forgotten the number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from siphon.state.redis.nodes import Membership
from siphon.state.redis.remote import PARTITIONS, Portion, Remote

PORTION = 200
AGAIN_SECS = 5.0


@dataclass(slots=True)
class _Round:
    """Partitions that are still being asked, and whether all so far were empty in the end."""

    left: int
    empty: bool = True


class TakeOver:
    """`taken(key, version, deadline)` is called for each record that has become ours."""

    def __init__(self, remote: Remote, member: Membership, taken: Callable[[bytes, int, float], None]) -> None:
        self._remote = remote
        self._member = member
        self._taken = taken
        self._again_at: dict[int, float] = {}
        self._rounds: dict[int, _Round] = {}
        self.records = 0
        """Taken over by this process."""

    def tick(self, now: float) -> None:
        """Begin a round for each dead number that wants one."""
        for number in [number for number in self._again_at if number not in self._member.dead]:
            del self._again_at[number]
        for number in self._member.dead:
            if now >= self._again_at.get(number, 0.0) and number not in self._rounds:
                self._again_at[number] = now + AGAIN_SECS
                self._rounds[number] = _Round(PARTITIONS)
                for partition in range(PARTITIONS):
                    self._take(number, partition)

    def _take(self, dead: int, partition: int) -> None:
        wait = self._remote.take(dead, partition, self._member.number, PORTION)
        wait.then(lambda answer: self._took(dead, partition, answer))

    def _took(self, dead: int, partition: int, answer: object) -> None:
        if not isinstance(answer, Portion):  # the next round will find it
            self._ended(dead, False)
            return
        for record in answer.taken:
            self.records += 1
            self._taken(*record)
        if answer.more:
            self._take(dead, partition)
        else:
            self._ended(dead, True)

    def _ended(self, dead: int, empty: bool) -> None:
        """One partition of this round is done with."""
        turn = self._rounds[dead]
        turn.left -= 1
        turn.empty = turn.empty and empty
        if not turn.left:
            del self._rounds[dead]
            if turn.empty:
                self._remote.forget(dead)
