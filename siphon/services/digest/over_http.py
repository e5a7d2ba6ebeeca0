"""Asks an HTTP service for a user's secret (`auth.http`): one GET a user, on the worker's asyncio loop.

`{username}` in the URL is replaced by the user's name with everything but unreserved characters percent-encoded, so
that a name can neither leave its path segment nor add a parameter. A status other than 2xx: the user is not known. The
body, BODY_BYTES at most, without white space around it, is the password, or with `ha1 = true` the HA1 of the first
algorithm of `auth.algorithms`. An empty body is nobody's password: not known.

Redirects are not followed, cookies not kept, proxies of the environment not used and bodies not decompressed. What
fails raises NoSecret with the reason and without the URL, which may hold a password.

aiohttp is imported by whoever makes an HttpFetch, so an instance without `auth.http` never loads it. It is preferred
to httpx because it runs on the bare asyncio loop, with limits for connecting and for the whole exchange and a pool of
connections, and without two further layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from siphon.config.settings import Auth
from siphon.services.digest.hashes import BY_NAME, Algorithm
from siphon.services.digest.remote import FETCHES, Fetch, NoSecret
from siphon.services.digest.users import Secret

if TYPE_CHECKING:
    import aiohttp

BODY_BYTES = 4096
IDLE_SECS = 15.0
USERNAME = "{username}"


def http_fetch(settings: Auth) -> Fetch | None:
    """How to ask by these settings; None when the users are in the configuration."""
    return HttpFetch(settings) if settings.backend == "http" else None


class HttpFetch:
    """One service. The session is made by the first question, on the loop that runs it."""

    def __init__(self, settings: Auth) -> None:
        import aiohttp

        assert settings.http is not None
        self._aiohttp: Any = aiohttp
        self._url = settings.http.url
        self._connect_secs = settings.http.connect_timeout_ms / 1000
        self._ha1 = BY_NAME[settings.algorithms[0].lower()] if settings.http.ha1 else None
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, user: bytes) -> Secret | None:
        """The user's secret, None when it is not known; NoSecret when nobody said so. Its caller limits the time."""
        url = url_of(self._url, user)
        if url is None:
            return None
        try:
            async with self._open().get(url, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    return None
                body = await answer.content.read(BODY_BYTES + 1)
                while len(body) <= BODY_BYTES and (more := await answer.content.read(BODY_BYTES + 1 - len(body))):
                    body += more
        except (self._aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoSecret(type(error).__name__) from None
        return secret_of(body, self._ha1)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            client = self._aiohttp
            self._session = client.ClientSession(
                connector=client.TCPConnector(limit=FETCHES, keepalive_timeout=IDLE_SECS),
                timeout=client.ClientTimeout(total=None, sock_connect=self._connect_secs),
                cookie_jar=client.DummyCookieJar(),
                headers={"Accept": "text/plain", "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        assert self._session is not None
        return self._session

    async def close(self) -> None:
        """Close the connections; what is being asked fails."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def url_of(template: str, user: bytes) -> Any:
    """The URL of a user, as a yarl.URL that is sent as it stands; None for a name that a path would be climbed by."""
    from yarl import URL

    if user in (b".", b".."):
        return None
    return URL(template.replace(USERNAME, quote_from_bytes(user, safe="")), encoded=True)


def secret_of(body: bytes, ha1: Algorithm | None) -> Secret | None:
    """The secret in a body."""
    if len(body) > BODY_BYTES:
        raise NoSecret(f"more than {BODY_BYTES} bytes")
    text = body.strip()
    if not text:
        return None
    if ha1 is None:
        return Secret(password=text)
    try:
        return Secret.of_algorithm(text.decode("latin-1"), ha1)
    except ValueError as error:
        raise NoSecret(str(error)) from None
