"""How one siphond hands over to the next: messages between the two supervisors over a SOCK_SEQPACKET pair.

    the old one                                     the new one (its child)
    FACTS, the lock; SOCKETS, again and again
    forks and executes                              reads them, maps the tables, forks its workers
                                                    REFUSED and the reason, if it cannot
                                                    READY: all its workers serve
    YOURS                                           says in the lock file that it is the instance
                                                    TOOK
    its workers read nothing more and end
    ALONE, once its extra helpers have ended        starts its own
    ends                                            takes over what is left in its slots

Between READY and the end both serve the same sockets and tables, as workers of one instance do. Whoever dies on the way
is known by the end of the channel: the other one goes on alone.
"""

import json
import os
import select
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple

from workers.control import Closed

VARIABLE = "SIPHOND_HANDOVER"
"""In the environment of the new one: the descriptor of its end."""
LONGEST = 1 << 16
PORTION = 64
"""Descriptors of one message; the kernel takes 253."""


class Word(Enum):
    FACTS = "facts"
    SOCKETS = "sockets"
    REFUSED = "refused"
    READY = "ready"
    YOURS = "yours"
    TOOK = "took"
    ALONE = "alone"


class Said(NamedTuple):
    word: Word
    facts: dict[str, Any]
    descriptors: list[int]


class Link:
    """One end. Nothing waits but `wait`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)

    @classmethod
    def pair(cls) -> "tuple[Link, Link]":
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()

    def say(self, word: Word, facts: Mapping[str, object] | None = None, descriptors: Sequence[int] = ()) -> bool:
        """False when the other side has gone, or has not read for long."""
        try:
            socket.send_fds(self.sock, [json.dumps({"word": word.value, **(facts or {})}).encode()], descriptors)
        except OSError:
            return False
        return True

    def hear(self) -> Said | None:
        """None when there is nothing now; raises Closed. Descriptors are closed on exec."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.sock, LONGEST, PORTION)
        except BlockingIOError:
            return None
        except OSError:
            raise Closed from None
        if not data:
            raise Closed
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        facts = json.loads(data)
        return Said(Word(facts.pop("word")), facts, descriptors)

    def wait(self, seconds: float) -> Said:
        """The next message; raises Closed, TimeoutError."""
        while select.select([self.sock], [], [], seconds)[0]:
            if (said := self.hear()) is not None:
                return said
        raise TimeoutError

    def give(self, facts: Mapping[str, object], descriptors: Sequence[int], sockets: Mapping[str, int]) -> bool:
        """All that a new one must have."""
        names = list(sockets)
        portions = [names[at : at + PORTION] for at in range(0, len(names), PORTION)]
        return self.say(Word.FACTS, {**facts, "portions": len(portions)}, descriptors) and all(
            self.say(Word.SOCKETS, {"names": portion}, [sockets[name] for name in portion]) for portion in portions
        )


def drop(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
