"""What is checked of a request before anything else is done with it (RFC 3261 §16.3).

In: a parsed request, the settings, and whether it has come back to us unchanged. Out: None, or the refusal to send.
When several checks fail the first of this order answers: 400 syntax (the scanner's: such a request does not come
here), 416 scheme, 483 Max-Forwards, 482 loop, 420 Proxy-Require.

An ACK is never answered: on a refusal its caller drops it. Of a CANCEL only the scheme is looked at: it is this hop's
own (RFC 3261 §9.2), and Proxy-Require in it is ignored (§8.2.2.3).
"""

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from siphon.sip.message import SipMessage

SCHEMES = frozenset((b"sip", b"sips", b"tel"))


class Refusal(NamedTuple):
    """The response to send: status, reason phrase, header lines beside those that every response has."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


class ProxySettings(Protocol):
    """The part of the `proxy` section that is used here."""

    @property
    def known_extensions(self) -> Collection[str]: ...


class HasProxySettings(Protocol):
    """Settings with a `proxy` section."""

    @property
    def proxy(self) -> ProxySettings: ...


UNSUPPORTED_SCHEME = Refusal(416, "Unsupported URI Scheme")
TOO_MANY_HOPS = Refusal(483, "Too Many Hops")
LOOP_DETECTED = Refusal(482, "Loop Detected")


def check_request(
    message: SipMessage, settings: HasProxySettings, *, looped: Callable[[], bool] | bool
) -> Refusal | None:
    """The refusal that RFC 3261 §16.3 and RFC 5393 §4.2 ask for, None when the request passes.

    `looped` is asked only when nothing before it fails; see `branch.looped`.
    """
    if not _supported(message.uri):
        return UNSUPPORTED_SCHEME
    if message.method == "CANCEL":
        return None
    if message.max_forwards == 0:
        return TOO_MANY_HOPS
    if looped() if callable(looped) else looped:
        return LOOP_DETECTED
    if message.has("Proxy-Require"):
        return _check_extensions(message, settings.proxy.known_extensions)
    return None


def _supported(uri: bytes) -> bool:
    return uri.partition(b":")[0].lower() in SCHEMES


def _check_extensions(message: SipMessage, known: Collection[str]) -> Refusal | None:
    """420 naming exactly the option tags that are not known, as written, each once (RFC 3261 §16.3 step 5)."""
    passed = {tag.lower() for tag in known}
    tags = (value.decode("utf-8", "replace") for value in message.values("Proxy-Require"))
    unknown = list(dict.fromkeys(tag for tag in tags if tag and tag.lower() not in passed))
    if not unknown:
        return None
    return Refusal(420, "Bad Extension", (("Unsupported", ", ".join(unknown)),))
