"""OPTIONS of ours that ask whether somebody is there, in one process; siphon/engine/keepalive.py and gateways.py say
whom to ask.

    send     a record without server transaction, as of proxy.send_request (siphon/engine/own.py); its copy leaves
    end      some process commits the answer, an ICMP error or Timer F, and tells this slot; or the time is over
    settle   the record is looked at once more and removed by the same decision; `done(subject, answer)` is called

Any final response is a sign of life. A record is removed as soon as it has told that, so it takes no place from calls
for Timer K's time; a response that comes later finds nothing and is counted as a stray. The hint of another process may
be lost: then the answer is found when the time is over. What this process has on its way when it dies ends in another
one by Timer F, and nobody asks.

A request that cannot be sent (no address, no room, a drain) is neither alive nor dead: `done` is not called. Whoever
wants to know is told why (`unsent`), but for a drain.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Generic, TypeVar

from siphon.engine.core import Core
from siphon.engine.own import EndEvent, SendEvent
from siphon.engine.plan import Plan
from siphon.script.sending import NO_ADDRESS, OwnRequest, own_request
from siphon.state.record import Branch

Subject = TypeVar("Subject")


def options(uri: str, to: str, seconds: float, user_agent: str, sender: tuple[str, str] = ("", "")) -> OwnRequest:
    """The request: `to` is a URI, `sender` user and host of From, the host of the address it leaves from where it is
    "". ValueError for a URI that cannot be sent to."""
    user, host = sender
    headers = {"To": f"<{to}>"}
    if user:
        headers["From"] = f"<sip:{user}@{host or NO_ADDRESS}>"
    own = own_request("OPTIONS", uri, headers, None, None, True, 0, user_agent)
    return replace(own, seconds=seconds, ours=not host)


class Probes(Generic[Subject]):
    """Those on their way, each with its subject. `done` is called in `settle`, once for each that had a result."""

    def __init__(
        self,
        core: Core,
        wall: Callable[[], float],
        script_version: Callable[[], int],
        done: Callable[[Subject, Branch | None], None],
        draining: Callable[[], bool],
        unsent: Callable[[Subject, str], None] = lambda subject, why: None,
    ) -> None:
        self._core = core
        self._wall = wall
        self._script_version = script_version
        self._done = done
        self._draining = draining
        self._not_sent = unsent
        self._flying: dict[bytes, Subject] = {}
        self._over: deque[tuple[float, bytes]] = deque()
        self._ended: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._flying)

    def send(self, own: OwnRequest, plan: Plan, subject: Subject, now: float) -> None:
        """Send one. One that cannot be sent, now or once its name was looked up, is forgotten; so is each while the
        instance drains."""
        if self._draining():
            return
        key = secrets.token_bytes(16)
        self._flying[key] = subject
        self._over.append((now + own.seconds, key))
        event = SendEvent(
            key,
            secrets.randbits(32),
            own,
            self._wall(),
            self._script_version(),
            lambda: None,
            lambda why: self._unsent(key, why),
            plan=plan,
        )
        self._core.env.owner = self._core.env.slot
        self._core.insert(event)

    def hint(self, key: bytes) -> None:
        """A record of this slot's may have ended; harmless for any other."""
        if key in self._flying:
            self._ended.append(key)

    def next_at(self) -> float:
        """When settle() has something to do."""
        if self._ended:
            return 0.0
        return self._over[0][0] if self._over else inf

    def settle(self, now: float, most: int) -> None:
        """Take up what has ended and what has had its time, `most` of each."""
        for _ in range(min(most, len(self._ended))):
            self._look(self._ended.popleft(), over=False)
        for _ in range(most):
            if not self._over or self._over[0][0] > now:
                break
            self._look(self._over.popleft()[1], over=True)

    def abandon(self) -> None:
        """End all that are on their way, without a result."""
        keys = list(self._flying)
        self._flying.clear()
        self._over.clear()
        self._ended.clear()
        for key in keys:
            self._core.process(EndEvent(key, True, self._take))

    def _look(self, key: bytes, over: bool) -> None:
        if key in self._flying:
            self._core.process(EndEvent(key, over, self._take))

    def _take(self, key: bytes, answer: Branch | None) -> None:
        """May be called again for a key whose commit found another version."""
        subject = self._flying.pop(key, None)
        if subject is not None:
            self._done(subject, answer)

    def _unsent(self, key: bytes, why: str) -> None:
        subject = self._flying.pop(key, None)
        if subject is not None:
            self._not_sent(subject, why)
