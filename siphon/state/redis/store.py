"""The Store over a far store: the same load, decide, commit, with an answer that comes later.

A commit is a compare-and-swap over there, made under a lease on this node (siphon/state/redis/local.py). Its datagrams
leave when the answer has come and before the lease is let go. While a commit is under way this process shows the record
to nobody: whoever loads it waits for the end.

What a lost answer means:

    new work       the wait ends as Away, so the peer gets 503 in time; the write goes on being asked for, and once it
                   is known to stand, or after TOMBSTONE_SECS, the record is deleted: nobody would serve it
    anything else  the write is repeated until its fate is known, and the datagrams leave then; after PATIENCE_SECS
                   the event is given back as Away

Times in a record that is handed out are CLOCK_BOOTTIME of this machine; over there they are the far store's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from siphon.state.codec import BadRecord
from siphon.state.redis.local import FULL as LOCAL_FULL
from siphon.state.redis.local import NOBODY, Entry, Held, Local
from siphon.state.redis.nodes import SLOTS, Membership
from siphon.state.redis.remote import SALT_BITS, TOMBSTONE_SECS, Found, Lost, Remote, Write, Writer
from siphon.state.store import CONFLICT, FULL, Away, Busy, Commit, Loaded, Wait
from siphon.state.times import shifted

PATIENCE_SECS = 32.0
"""How long a commit of a running call is repeated while its answer is lost: Timer B."""
LEASE_MARGIN_SECS = 0.5
SEND_MARGIN_SECS = 0.0
"""Beyond the limit of a call: an answer that is taken up later sends nothing."""
AGAIN_SECS = 0.1
"""How often it is looked whether the store can be reached again."""
KEEP_SECS = 300.0
"""How long this node remembers a record that it has only seen."""
_START_BITS = 32


@dataclass(slots=True)
class _Flight:
    """A commit under way. `abandoned`: who asked has been told Away. `followers` load the record afterwards."""

    commit: Commit
    write: Write
    held: Held
    begun: float
    asked: float
    """When the write was last sent there."""
    wait: Wait = field(default_factory=Wait)
    abandoned: bool = False
    followers: list[Callable[[], None]] = field(default_factory=list)


class FarStore:
    """One process's view of the records of all nodes.

    `send` sends the datagrams of one commit, `arm` arms a deadline of this process, `later(secs, call)` calls once,
    `random_bits(n)` draws, `hold_secs` is the limit of one call over there. `before(key)` is what must have been
    answered before a commit of that record may be sent there, None for nothing.
    """

    at_once = False

    def __init__(
        self,
        remote: Remote,
        local: Local,
        member: Membership,
        *,
        slot: int,
        generation: int,
        hold_secs: float,
        send: Callable[[Commit], None],
        arm: Callable[[float, bytes, int], None],
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object],
        random_bits: Callable[[int], int],
        before: Callable[[bytes], Wait | None] = lambda key: None,
    ) -> None:
        self._remote = remote
        self._local = local
        self._member = member
        self._slot = slot
        self._generation = generation
        self._hold_secs = hold_secs
        self._send = send
        self._arm = arm
        self._clock = clock
        self._later = later
        self._random_bits = random_bits
        self._before = before
        self._sequence = 0
        self._flights: dict[bytes, _Flight] = {}
        self._loading: Counter[bytes] = Counter()
        self._away: list[Away] = []
        self.doubted: Callable[[bytes], None] = lambda key: None
        """Told of a record that may be of new work that has been refused: another has committed on top of it."""
        self.damaged = 0
        """Records that were not what had been written."""
        self.unordered = 0
        """Datagrams that were not sent because the answer came when the lease had run out, or much too late."""

    # -- Store --------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether records can be had: we are a member and the far store answers."""
        return self._remote.reachable and self._member.active

    def is_asked(self, key: bytes) -> bool:
        """Whether something about the record is under way in this process: no timer need be fired now."""
        return key in self._flights or key in self._loading

    @property
    def is_behind(self) -> bool:
        """Whether a commit waits so long for its answer that the limit of one call is near: the far store, or this
        machine, has more to do than it can."""
        for flight in self._flights.values():  # the oldest
            return self._clock() - flight.asked > self._hold_secs / 2
        return False

    @property
    def under_way(self) -> int:
        """Commits and loads whose answers have not come."""
        return len(self._flights) + self._loading.total()

    def load(self, key: bytes) -> Wait:
        """See Store.load."""
        flight = self._flights.get(key)
        wait = Wait()
        if flight is not None:
            flight.followers.append(lambda: self._load(key, wait))
            return wait
        entry = self._local.read(key)
        if entry is None or self._local.is_leased(entry):
            return Busy()
        if not self.ready:
            return self._absent()
        self._load(key, wait)
        return wait

    def commit(self, commit: Commit) -> int | Wait:
        """See Store.commit."""
        if commit.key in self._flights:
            return CONFLICT  # decided on what was there before it
        if not self.ready:
            return self._absent()
        now = self._clock()
        until = now + 2 * self._hold_secs + LEASE_MARGIN_SECS
        held = self._local.lease(commit.key, until, commit.expiry or until, commit.new_work)
        if not isinstance(held, Held):
            return FULL if held == LOCAL_FULL else Busy()
        flight = _Flight(commit, self._write_of(commit, now), held, now, now)
        self._flights[commit.key] = flight
        before = self._before(commit.key)
        if before is None:
            self._ask(flight)
        else:
            before.then(lambda _: self._ask(flight))
        return flight.wait

    def head(self, key: bytes) -> tuple[int, int] | None | Wait:
        """See Store.head; what this node knows, without asking the far store. None when another node's turn it is."""
        entry = self._local.read(key)
        if entry is None:
            return Busy()
        return None if not entry.row or entry.owner == NOBODY else (entry.version, entry.owner)

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """See Store.owned; of a slot of this node."""
        return list(self._local.owned(owner))

    # -- load ---------------------------------------------------------------------------------------------------------

    def _load(self, key: bytes, wait: Wait) -> None:
        flight = self._flights.get(key)
        if flight is not None:
            flight.followers.append(lambda: self._load(key, wait))
        else:
            self._loading[key] += 1
            self._remote.load(key).then(lambda answer: self._loaded(key, wait, answer))

    def _loaded(self, key: bytes, wait: Wait, answer: object) -> None:
        self._loading[key] -= 1
        if not self._loading[key]:
            del self._loading[key]
        if key in self._flights:  # a commit has begun since: what it makes is shown, once its datagrams have left
            self._load(key, wait)
            return
        entry = self._local.read(key)
        if entry is None or self._local.is_leased(entry):
            wait.resolve(Busy())
        elif answer is None:
            wait.resolve(None)
        elif isinstance(answer, Found):
            wait.resolve(self._handed_out(key, entry, answer))
        else:
            wait.resolve(self._absent())

    def _handed_out(self, key: bytes, entry: Entry, found: Found) -> Loaded:
        """The record in this machine's time. One that is damaged is handed out as the nothing that it is worth: who
        decodes it counts it."""
        if found.sound:
            try:
                value = shifted(found.value, -self._remote.offset(key))
            except BadRecord:
                return self._damaged(found)
            self._note(key, entry, found)
            return Loaded(found.version, value)
        return self._damaged(found)

    def _damaged(self, found: Found) -> Loaded:
        self.damaged += 1
        return Loaded(found.version or 1, b"")

    def _note(self, key: bytes, entry: Entry, found: Found) -> None:
        """Keep what the node knows: whose turn the deadline is, and since which version."""
        ours = found.node == self._member.number
        if entry.row and entry.version == found.version and (entry.owner != NOBODY) == ours:
            return
        expiry = self._clock() + KEEP_SECS
        if not ours:
            if entry.row:
                self._local.note(key, entry, found.version, NOBODY, 0.0, expiry)
            return
        deadline = found.deadline - self._remote.offset(key) if found.deadline else 0.0
        if self._local.note(key, entry, found.version, self._local.owner_after(entry), deadline, expiry) and deadline:
            self._arm(deadline, key, found.version)

    def taken(self, key: bytes, version: int, deadline: float) -> None:
        """A record of a dead node, or of a process of ours that has died before it noted it, is to be looked after
        here. `deadline` is the far store's."""
        entry = self._local.read(key)
        if entry is not None and entry.row and entry.owner != NOBODY and entry.version >= version:
            return  # known here, and looked after
        if entry is not None and not self._local.is_leased(entry) and key not in self._flights:
            at = deadline - self._remote.offset(key)
            expiry = max(at, self._clock()) + KEEP_SECS
            if self._local.note(key, entry, version, self._local.owner_after(entry), at, expiry):
                self._arm(at, key, version)

    # -- commit -------------------------------------------------------------------------------------------------------

    def _write_of(self, commit: Commit, now: float) -> Write:
        self._sequence += 1
        number, offset = self._member.number, self._remote.offset(commit.key)
        return Write(
            commit.key,
            commit.expected,
            self._version_after(commit.expected),
            Writer(number, self._slot, self._generation, self._sequence),
            None if commit.value is None else shifted(commit.value, offset),
            number,
            commit.next_deadline + offset if commit.next_deadline else 0.0,
            TOMBSTONE_SECS if commit.value is None else max(1.0, commit.expiry - now),
        )

    def _version_after(self, expected: int) -> int:
        """One more, and bits drawn anew: a version that a failover of the far store has lost is never made again."""
        count = (expected >> SALT_BITS) + 1 if expected else 1 + self._random_bits(_START_BITS)
        return count << SALT_BITS | self._random_bits(SALT_BITS)

    def _ask(self, flight: _Flight) -> None:
        flight.asked = self._clock()
        self._remote.write(flight.write).then(lambda answer: self._answered(flight, answer))

    def _answered(self, flight: _Flight, answer: object) -> None:
        if answer is True:
            self._stands(flight)
        elif answer is False:
            self._release(flight)
            self._landed(flight, CONFLICT)
            if flight.abandoned:
                self.doubted(flight.commit.key)
        elif isinstance(answer, Lost) or flight.abandoned:
            self._in_doubt(flight)
        else:
            self._release(flight)
            self._landed(flight, self._absent())

    def _in_doubt(self, flight: _Flight) -> None:
        """Nobody knows whether it was done: the same write again, until its fate is known."""
        if flight.commit.new_work and not flight.abandoned:
            flight.abandoned = True
            flight.wait.resolve(self._absent())
        if self._clock() - flight.begun > PATIENCE_SECS and not flight.abandoned:
            self._release(flight)
            self._landed(flight, self._absent())
        else:
            self._later(AGAIN_SECS, lambda: self._remote.back().then(lambda _: self._ask_again(flight)))

    def _ask_again(self, flight: _Flight) -> None:
        """Refused work is not begun anew by what is to tell of it: who stood still for so long may find that another
        node has taken it, and that the record is over and no longer remembered over there."""
        if flight.abandoned and self._clock() - flight.begun > TOMBSTONE_SECS:
            self._undo(flight)
        else:
            self._ask(flight)

    def _release(self, flight: _Flight) -> None:
        """Nothing has come of it: what was to be fired before is ours to fire."""
        key, before = flight.commit.key, flight.held.before
        self._local.release(key, flight.held)
        if before.row and before.owner != NOBODY and before.deadline:
            self._arm(before.deadline, key, before.version)

    def _stands(self, flight: _Flight) -> None:
        commit, key = flight.commit, flight.commit.key
        if flight.abandoned:
            self._undo(flight)
            return
        if not self._local.holds(key, flight.held):
            self.unordered += len(commit.sends)
        else:
            if self._clock() > flight.asked + self._hold_secs + SEND_MARGIN_SECS:
                # we stood still: another node may have committed, and sent, since
                self.unordered += len(commit.sends)
            elif commit.sends:
                self._send(commit)
            if commit.value is None:
                self._local.drop(key, flight.held)
            else:
                deadline, owner = commit.next_deadline, commit.owner % SLOTS
                self._local.settle(key, flight.held, flight.write.version, owner, deadline, commit.expiry)
        self._landed(flight, flight.write.version)

    def _undo(self, flight: _Flight) -> None:
        """A record was made for new work that has been refused meanwhile."""
        del self._flights[flight.commit.key]
        self._release(flight)
        self._delete(flight.commit.key, flight.write.version)
        for follow in flight.followers:
            follow()

    def _delete(self, key: bytes, version: int) -> None:
        self._deleted(key, version, self.commit(Commit(key, version, None)))

    def _deleted(self, key: bytes, version: int, answer: object) -> None:
        """It is gone; not if the store has gone away again, or another has committed on top of it."""
        if isinstance(answer, Away):
            answer.then(lambda _: self._delete(key, version))
        elif isinstance(answer, Busy) or answer == FULL:
            self._later(AGAIN_SECS, lambda: self._delete(key, version))
        elif isinstance(answer, Wait):
            answer.then(lambda late: self._deleted(key, version, late))
        elif answer == CONFLICT:
            self.doubted(key)

    def _landed(self, flight: _Flight, answer: object) -> None:
        """The answer first, so that what follows from it is under way before others load the record."""
        del self._flights[flight.commit.key]
        flight.wait.resolve(answer)
        for follow in flight.followers:
            follow()

    # -- away ---------------------------------------------------------------------------------------------------------

    def _absent(self) -> Away:
        away = Away()
        self._away.append(away)
        if len(self._away) == 1:
            self._later(AGAIN_SECS, self._look)
        return away

    def _look(self) -> None:
        if not self.ready:
            self._later(AGAIN_SECS, self._look)
            return
        waiting, self._away = self._away, []
        for away in waiting:
            away.resolve(True)
