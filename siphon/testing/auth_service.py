"""The service that knows the users of a virtual siphond with `auth.backend = "http"`."""

from __future__ import annotations

import asyncio

from siphon.services.digest import Secret


class AuthService:
    """Asked by the virtual workers instead of HTTP. It answers at once, to users in `silent` never."""

    def __init__(self) -> None:
        self.users: dict[bytes, Secret] = {}
        self.silent: set[bytes] = set()
        self.asked: list[bytes] = []

    async def __call__(self, user: bytes) -> Secret | None:
        """See Fetch."""
        self.asked.append(user)
        if user in self.silent:
            await asyncio.sleep(3600)
        return self.users.get(user)

    async def close(self) -> None:
        """See Fetch."""
