"""Records to a web server: one POST a record, its JSON as body. A 2xx means that it has it.

What a server refuses for what it is (400, 413, 422) would be refused for ever: it is given to `refused`, which logs it
whole, and the next one follows. Every other answer, and none, means later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_SECS = 5.0
TOGETHER = 8
"""Requests at one time."""
HOPELESS = (400, 413, 422)


class HttpSink:
    """Made and used in one asyncio loop."""

    def __init__(self, url: str, authorization: str | None, refused: Callable[[bytes, int], None]) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if authorization:
            self._headers["Authorization"] = authorization
        self._refused = refused
        self._session: aiohttp.ClientSession | None = None

    async def write(self, lines: Sequence[bytes]) -> tuple[list[int], str]:
        """Which of them have been taken, and why not the others; several are on their way at a time, so it may be any.
        After the first that was not nothing more is begun."""
        import aiohttp  # only here: nobody else pays for loading it

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECS), headers=self._headers
            )
        taken: list[int] = []
        for first in range(0, len(lines), TOGETHER):
            part = lines[first : first + TOGETHER]
            answers = await asyncio.gather(*(self._post(self._session, text) for text in part))
            taken += [first + place for place, why in enumerate(answers) if not why]
            if against := next(filter(None, answers), ""):
                return taken, against
        return taken, ""

    async def _post(self, session: aiohttp.ClientSession, text: bytes) -> str:
        """Empty, or why not."""
        import aiohttp  # only here: nobody else pays for loading it

        try:
            async with session.post(self._url, data=text, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"http: {type(error).__name__}: {error}"[:200]
        if status in HOPELESS:
            self._refused(text, status)
            return ""
        return "" if 200 <= status < 300 else f"http: the answer is {status}"

    async def close(self) -> None:
        """Opened again by the next write."""
        if self._session is not None:
            await self._session.close()
            self._session = None
