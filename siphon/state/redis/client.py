"""The far store in Redis: the operations of siphon/state/redis/remote.py as calls of scripts over a process's link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from siphon.state.redis import scripts
from siphon.state.redis.envelope import node_bytes, seal, unseal, version_bytes, version_of
from siphon.state.redis.link import Link
from siphon.state.redis.names import PARTITIONS, Names, partition
from siphon.state.redis.remote import Node, Nodes, Portion, Taken, Write
from siphon.state.redis.script import Script, Value
from siphon.state.store import Wait

_LOAD = Script("transaction.load", scripts.LOAD, writes=False)
_WRITE = Script("transaction.write", scripts.WRITE)
_TAKE = Script("transactions.take", scripts.TAKE)
_RENEW = Script("node.renew", scripts.RENEW)
_REMIND = Script("node.remind", scripts.REMIND)
_LEAVE = Script("node.leave", scripts.LEAVE)
_FORGET = Script("node.forget", scripts.FORGET)

NODES = 0
"""The partition of what is known of nodes."""


class RedisRemote:
    """See Remote. `clock` is CLOCK_BOOTTIME; `link` is this process's own."""

    def __init__(
        self,
        link: Link,
        names: Names,
        clock: Callable[[], float],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """`failed` takes what the users of an answer raise: no fault of the link, on which others' answers come too."""
        self._link = link
        self._failed = failed
        self._clock = clock
        self._records = [names.key(number, b"t") + b":" for number in range(PARTITIONS)]
        self._indexes = [names.key(number, b"n") + b":" for number in range(PARTITIONS)]
        self._nodes = [names.key(NODES, b"nodes", kind) for kind in (b"l", b"t", b"f", b"d", b"c", b"r:")]
        self._dead = self._nodes[3]
        self._waiting: list[Wait] = []
        self.reachable = link.is_up()
        self._before = link.changed
        link.changed = self._changed

    def offset(self, key: bytes) -> float:
        """See Remote.offset."""
        return self._link.store_time(partition(key), 0.0) or 0.0

    def back(self) -> Wait:
        """See Remote.back."""
        wait = Wait()
        if self.reachable:
            wait.resolve(True)
        else:
            self._waiting.append(wait)
        return wait

    def load(self, key: bytes) -> Wait:
        """See Remote.load."""
        number = partition(key)
        called = self._link.call(_LOAD, number, (self._records[number] + key.hex().encode(),))
        return self._answer(called, lambda data: None if data is None else unseal(key, data))

    def write(self, write: Write) -> Wait:
        """See Remote.write."""
        number = partition(write.key)
        member = write.key.hex().encode()
        arguments = (
            member,
            version_bytes(write.expected),
            seal(write),
            max(1, round(write.lives_secs * 1000)),
            repr(write.deadline) if write.deadline and write.value is not None else "",
            self._indexes[number],
            write.node,
        )
        return self._answer(self._link.call(_WRITE, number, (self._records[number] + member,), arguments), bool)

    def renew(self, token: bytes, ttl_secs: float, facts: bytes, former: int) -> Wait:
        """See Remote.renew."""
        arguments = (token, round(ttl_secs * 1000), facts, former)
        return self._answer(self._link.call(_RENEW, NODES, self._nodes, arguments), _nodes)

    def remind(self, node: int, slot: int, key: bytes) -> Wait:
        """See Remote.remind."""
        return self._answer(
            self._link.call(_REMIND, NODES, (self._nodes[5] + b"%d" % node,), (bytes([slot]) + key,)), bool
        )

    def leave(self, token: bytes) -> Wait:
        """See Remote.leave."""
        return self._answer(self._link.call(_LEAVE, NODES, self._nodes, (token,)), bool)

    def take(self, dead: int, partition: int, node: int, limit: int) -> Wait:
        """See Remote.take."""
        index = self._indexes[partition]
        keys = (index + b"%d" % dead, index + b"%d" % node)
        arguments = (self._records[partition], dead, node, node_bytes(node), limit)
        return self._answer(self._link.call(_TAKE, partition, keys, arguments), _portion)

    def forget(self, dead: int) -> Wait:
        """See Remote.forget."""
        arguments = (dead, round(scripts.DEAD_SECS * 1000))
        return self._answer(self._link.call(_FORGET, NODES, (self._dead,), arguments), bool)

    def _changed(self) -> None:
        self._before()
        self.reachable = self._link.is_up()
        if self.reachable:
            waiting, self._waiting = self._waiting, []
            for wait in waiting:
                wait.resolve(True)

    def _answer(self, called: Wait, made_of: Callable[[Any], object]) -> Wait:
        """What a call has answered, in the words of Remote."""
        wait = Wait()

        def answered(answer: object) -> None:
            try:
                wait.resolve(made_of(answer.value) if isinstance(answer, Value) else answer)
            except Exception as error:
                if self._failed is None:
                    raise
                self._failed(error)

        called.then(answered)
        return wait


def _nodes(answer: Any) -> Nodes:
    number, live, dead, reminders = answer
    leases = [Node(int(n), float(until) / 1000, facts) for n, until, facts in _threes(live)]
    return Nodes(number, leases, [int(n) for n in dead], tuple((entry[0], entry[1:]) for entry in reminders if entry))


def _portion(answer: Any) -> Portion:
    more, *rest = answer
    taken = [Taken(bytes.fromhex(m.decode()), version_of(v), float(at)) for m, v, at in _threes(rest)]
    return Portion(taken, bool(more))


def _threes(flat: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    return zip(flat[0::3], flat[1::3], flat[2::3], strict=True)
