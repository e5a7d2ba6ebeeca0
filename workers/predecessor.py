"""The new siphond's side of a hand-over: what it gets, and what it does until the old one has gone.

It attaches to what is in use instead of making it anew, takes slots that nobody lives in, and has no extra helpers
before those of the old one have ended. When the old one is killed on the way, the new one goes on: it is the instance
then. Slots of the old one that nobody has left in order are left here as soon as their processes are gone.
"""

import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workers.application import SlotTable
from workers.control import Closed
from workers.handover import VARIABLE, Link, Said, Word
from workers.kept import Kept

PATIENCE_SECS = 10.0


class NoHandover(Exception):
    """The old one has gone, or what it says cannot be understood."""


class Predecessor:
    """`facts` are the old one's, `descriptors` what it gives beside the sockets, `kept` its sockets. `slots` are those
    that it and those before it have in use."""

    def __init__(self, link: Link) -> None:
        self.link = link
        try:
            first = link.wait(PATIENCE_SECS)
            self.facts: dict[str, Any] = first.facts
            self.descriptors = first.descriptors
            self.slots: list[int] = [int(slot) for slot in self.facts["slots"]]
            self.kept = [kept for _ in range(self.facts["portions"]) for kept in named(link.wait(PATIENCE_SECS))]
        except (Closed, TimeoutError, KeyError, ValueError, TypeError) as error:
            raise NoHandover(f"the siphond that hands over does not say what it should: {error!r}") from None
        self.open = True
        self.took = False
        self.alone = False
        """No extra helper of the old one lives any more."""
        self.take: Callable[[], None] = lambda: None
        """Makes this one the instance."""

    def refuse(self, why: str) -> None:
        self.link.say(Word.REFUSED, {"error": why})

    def ready(self) -> None:
        """All workers serve."""
        if not self.open:
            self.become()
        else:
            self.link.say(Word.READY)

    def hear(self) -> bool:
        """False once the old one has gone."""
        try:
            said = self.link.hear()
        except (Closed, ValueError):
            self.open = False
            return False
        if said is not None and said.word is Word.YOURS:
            self.become()
            self.link.say(Word.TOOK)
        elif said is not None and said.word is Word.ALONE:
            self.alone = True
        return True

    def become(self) -> None:
        if not self.took:
            self.took = True
            self.take()

    def bury(self, slots: SlotTable) -> bool:
        """Once the old one has gone: leave the slots of its processes as they end. True when nobody is left."""
        for slot in self.slots:
            pid = slots.read(slot).pid
            if pid and is_gone(pid):
                slots.leave(slot)
        self.alone = all(not slots.read(slot).pid for slot in self.slots)
        return self.alone


def from_environment(environ: MutableMapping[str, str]) -> Predecessor | None:
    """None at an ordinary start. Raises NoHandover."""
    import socket

    text = environ.pop(VARIABLE, "")
    if not text:
        return None
    try:
        descriptor = int(text)
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except (ValueError, OSError) as error:
        raise NoHandover(f"{VARIABLE} is {text!r}: {error}") from None
    return Predecessor(Link(sock))


def named(said: Said) -> list[Kept]:
    if said.word is not Word.SOCKETS:
        raise ValueError(said.word)
    return [Kept(str(name), descriptor) for name, descriptor in zip(said.facts["names"], said.descriptors, strict=True)]


def is_gone(pid: int) -> bool:
    """Ended; also when nobody has waited for it yet."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    return True
