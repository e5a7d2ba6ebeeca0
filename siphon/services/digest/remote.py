"""Secrets that another service knows: asked for before handlers run, so that their synchronous checks never wait.

In come the users that a request's credentials name; out, once all are answered, a mapping from user to Secret, or to
None for who is not known. A user without an entry could not be asked for: nobody answered in time, or what came is no
secret. That says nothing about the user, and the request gets 500 instead of a challenge.

Who asks for what is being asked waits for the same answer. FETCHES bounds what is asked at one time; the others wait
for a place, within `auth.http.timeout_ms` all the same. Secrets are kept for `auth.http.cache_ttl_secs`, ENTRIES at
most, the oldest go. What was no secret is kept for a moment even where secrets are not: somebody who repeats a wrong
name, or an authentication service that is down, costs one question a moment and user.

Only users in credentials with a nonce of ours get here, so a stranger has to take a challenge first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from siphon.config.settings import Auth
from siphon.services.digest.users import Secret

FETCHES = 128
ENTRIES = 10_000
UNKNOWN_SECS = 2.0
"""How long a user that is not known stays unknown."""
FAULT_SECS = 1.0
"""How long nobody is asked again for a user about whom there was no answer."""
USER_BYTES = 255

Fetched = Mapping[bytes, Secret | None]


class NoSecret(Exception):
    """Nobody said whether the user is known; the text says why and holds no secret."""


class Fetch(Protocol):
    """Asks one service."""

    async def __call__(self, user: bytes) -> Secret | None:
        """The user's secret, None when it is not known; raises NoSecret. Cancelled when it takes too long."""

    async def close(self) -> None:
        """Let go of its connections."""


class _Fault(Enum):
    """The answer about a user for whom there is none."""

    FAULT = 1


_Answer = Secret | None | _Fault


class RemoteSecrets:
    """The secrets of one process. `fetcher(settings)` makes the function that asks, None for the backend "static";
    `report` is told of each question without an answer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        settings: Auth,
        fetcher: Callable[[Auth], Fetch | None],
        report: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._fetcher = fetcher
        self._report = report
        self._places = asyncio.Semaphore(FETCHES)
        self._known: dict[bytes, tuple[float, _Answer]] = {}
        self._asked: dict[bytes, asyncio.Task[_Answer]] = {}
        self.pending = 0
        """Requests that wait for a secret."""
        self._settings: Auth | None = None
        self._fetch: Fetch | None = None
        self.configure(settings)

    def configure(self, settings: Auth) -> None:
        """Ask by these settings from now on. Another service, or another form of its answers, empties the cache."""
        before, self._settings = self._settings, settings
        if before is not None and _source(settings) == _source(before):
            return
        if self._fetch is not None:
            self._loop.create_task(_retire(self._fetch, list(self._asked.values())))
        self._fetch = self._fetcher(settings)
        self._known.clear()
        self._asked.clear()

    def get(self, users: Sequence[bytes], done: Callable[[Fetched | None], None]) -> None:
        """Call `done` with the answers: before this returns when all are known, else later. None: nobody is asked, the
        users are those of the configuration."""
        if self._fetch is None:
            done(None)
            return
        waiting = {user: self._asking(user) for user in users if _askable(user) and not self._is_known(user)}
        known = {user: self._known[user][1] if _askable(user) else None for user in users if user not in waiting}
        if not waiting:
            done(_fetched(known))
            return
        self.pending += 1

        def arrived(task: asyncio.Task[dict[bytes, _Answer]]) -> None:
            self.pending -= 1
            done(_fetched(known | task.result()))

        self._loop.create_task(_all(waiting)).add_done_callback(arrived)

    def _is_known(self, user: bytes) -> bool:
        entry = self._known.get(user)
        return entry is not None and self._clock() < entry[0]

    def _asking(self, user: bytes) -> asyncio.Task[_Answer]:
        task = self._asked.get(user)
        if task is None:
            assert self._settings is not None and self._fetch is not None
            task = self._asked[user] = self._loop.create_task(self._one(user, self._settings, self._fetch))
            task.add_done_callback(lambda task: self._forget(user, task))
        return task

    def _forget(self, user: bytes, task: asyncio.Task[_Answer]) -> None:
        if self._asked.get(user) is task:
            del self._asked[user]

    async def _one(self, user: bytes, settings: Auth, fetch: Fetch) -> _Answer:
        assert settings.http is not None
        answer: _Answer = _Fault.FAULT
        try:
            async with asyncio.timeout(settings.http.timeout_ms / 1000), self._places:
                answer = await fetch(user)
        except TimeoutError:
            self._report(f"no answer within {settings.http.timeout_ms} ms")
        except NoSecret as fault:
            self._report(str(fault))
        except Exception as error:  # a fault of the client must not leave the request waiting for ever
            self._report(f"{type(error).__name__}: {error}")
        if fetch is self._fetch:
            self._keep(user, answer, settings.http.cache_ttl_secs)
        return answer

    def _keep(self, user: bytes, answer: _Answer, ttl: float) -> None:
        if isinstance(answer, _Fault):
            ttl = FAULT_SECS
        elif answer is None:
            ttl = UNKNOWN_SECS
        self._known.pop(user, None)
        if ttl <= 0:
            return
        if len(self._known) >= ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[user] = (self._clock() + ttl, answer)


def _source(settings: Auth) -> object:
    """What a cached secret depends on."""
    return settings.backend, settings.http, settings.algorithms[0]


def _askable(user: bytes) -> bool:
    return 0 < len(user) <= USER_BYTES


def _fetched(answers: Mapping[bytes, _Answer]) -> Fetched:
    """Without those about whom there is no answer."""
    return {user: answer for user, answer in answers.items() if not isinstance(answer, _Fault)}


async def _all(tasks: Mapping[bytes, asyncio.Task[_Answer]]) -> dict[bytes, _Answer]:
    return {user: await task for user, task in tasks.items()}


async def _retire(fetch: Fetch, asked: Iterable[asyncio.Task[_Answer]]) -> None:
    for task in asked:
        await task
    await fetch.close()
