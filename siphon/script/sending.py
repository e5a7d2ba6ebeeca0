"""proxy.send_request: from what a script gives to a request that can be sent (API 5).

In: method, URI, headers and body. Out: an OwnRequest, whose `message(sent_by)` is the request once it is known which
of our addresses it leaves from. What is missing is added; what RFC 3261 leaves no choice about is checked. ValueError
for what cannot be sent, TypeError for wrong types.

Via is always ours, or no answer would find its way back; a Content-Length that is given must be right. A body without
Content-Type gets one (RFC 3261 §7.4.1). The URI loses `?headers` and `method` (§19.1.5).
"""

from __future__ import annotations

import secrets
from collections.abc import Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from siphon.forwarding.trim import clean_target
from siphon.script import text
from siphon.script.address import parameter
from siphon.script.contact import Destination
from siphon.script.flow import split_address
from siphon.script.reply import Reply
from siphon.script.uri import SipUri, validated
from siphon.sip.draft import canonical
from siphon.sip.errors import NotSip, PeerError
from siphon.sip.message import SipMessage, parse
from siphon.sip.uri import NameAddr

REFUSED = frozenset(("INVITE", "ACK", "CANCEL"))
LARGEST_BYTES = 65000
"""A UDP datagram, less what our Via may still grow by."""
NO_ADDRESS = "siphond.invalid:5060"
ONE_LINE = frozenset(("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type"))
_PLACEHOLDER = "SIP/2.0/UDP {};branch=z9hG4bK;rport"

Lines = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request of our own, checked. `next_hop` and `place` are the script's choice, as in a relay. `wait`: its final
    is wanted within `seconds`. `lines` are all headers but Via; a From of ours has NO_ADDRESS."""

    method: str
    uri: bytes
    lines: tuple[tuple[str, str], ...]
    body: bytes
    next_hop: str | None
    place: tuple[str, int] | None
    wait: bool
    seconds: float
    ours: bool
    """From is to name the address that the request leaves from."""

    def message(self, sent_by: str) -> SipMessage:
        """The request as it leaves from `sent_by`, a `host:port`; the branch is not in its Via yet."""
        lines: Lines = [("Via", _PLACEHOLDER.format(sent_by)), *self.lines]
        if self.ours:
            lines = [(n, v.replace(NO_ADDRESS, sent_by) if n == "From" else v) for n, v in lines]
        head = b"".join(b"%b: %b\r\n" % (text.encode(name), text.encode(value)) for name, value in lines)
        return parse(b"%b %b SIP/2.0\r\n%b\r\n%b" % (text.encode(self.method), self.uri, head, self.body))

    @property
    def outline(self) -> SipMessage:
        """The request as long as it is not known where it leaves from."""
        return self.message(NO_ADDRESS)


def own_request(
    method: str,
    ruri: str | SipUri,
    headers: Mapping[str, Any] | None,
    body: str | bytes | None,
    next_hop: str | SipUri | Destination | None,
    wait: bool,
    timeout_ms: float,
    user_agent: str,
) -> OwnRequest:
    """Check and complete what a script wants to send."""
    verb = text.token(method, "method")
    if verb.upper() in REFUSED:
        raise ValueError(f"{verb} cannot be sent by send_request")
    uri = clean_target(text.encode(_uri(ruri)))
    content = b"" if body is None else text.body_bytes(body)
    given = list(_lines(headers))
    lines = _completed(given, verb, text.decode(uri), body, len(content), user_agent)
    ours = not any(canonical(name) == "from" for name, _ in given)
    place = split_address(next_hop.address) if isinstance(next_hop, Destination) and next_hop.address else None
    request = OwnRequest(verb, uri, tuple(lines), content, _next_hop(next_hop), place, wait, _seconds(timeout_ms), ours)
    _check(request)
    return request


def _uri(ruri: object) -> str:
    if not isinstance(ruri, (str, SipUri)):
        raise TypeError(f"a URI is a str or SipUri, not {type(ruri).__name__}")
    return validated(str(ruri).strip())


def _next_hop(next_hop: object) -> str | None:
    if next_hop is None:
        return None
    if not isinstance(next_hop, (str, SipUri, Destination)):
        raise TypeError(f"next_hop is a str, SipUri or Destination, not {type(next_hop).__name__}")
    return text.one_line(str(next_hop), "next_hop").strip()


def _seconds(timeout_ms: object) -> float:
    if isinstance(timeout_ms, bool) or not isinstance(timeout_ms, (int, float)) or not 0 <= timeout_ms < 1e9:
        raise ValueError(f"timeout_ms is a number of milliseconds, not {timeout_ms!r}")
    return timeout_ms / 1000


def _lines(headers: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """One line for a str or a number, several for a list."""
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"headers is a dict, not {type(headers).__name__}")
    for name, value in (headers or {}).items():
        checked = text.header_name(name)
        for entry in value if isinstance(value, (list, tuple)) else (value,):
            yield checked, text.header_value(entry)


def _completed(given: Lines, method: str, uri: str, body: object, size: int, user_agent: str) -> Lines:
    """All lines in their order: Route first, then those that tie the request to its transaction, the rest as given."""
    own: dict[str, tuple[str, str]] = {}
    rest: Lines = []
    for name, value in given:
        key = canonical(name)
        if key in ONE_LINE and key in own:
            raise ValueError(f"{name} is given twice")
        if key in ONE_LINE:
            own[key] = (name, value)
        elif key != "via":
            rest.append((name, value))
    start = own.pop("from", ("From", f"<sip:{NO_ADDRESS}>"))
    if not parameter(start[1], "tag"):
        start = (start[0], f"{start[1]};tag={secrets.token_hex(8)}")
    kind = "text/plain;charset=UTF-8" if isinstance(body, str) else "application/octet-stream"
    lines = [
        *((name, value) for name, value in rest if canonical(name) == "route"),
        own.pop("max-forwards", ("Max-Forwards", "70")),
        start,
        own.pop("to", ("To", f"<{uri}>")),
        own.pop("call-id", ("Call-ID", secrets.token_hex(16))),
        own.pop("cseq", ("CSeq", f"1 {method}")),
        *((name, value) for name, value in rest if canonical(name) != "route"),
    ]
    if user_agent and not any(canonical(name) == "user-agent" for name, _ in rest):
        lines.append(("User-Agent", user_agent))
    if size or "content-type" in own:
        lines.append(own.pop("content-type", ("Content-Type", kind)))
    return [*lines, own.pop("content-length", ("Content-Length", str(size)))]


def _check(request: OwnRequest) -> None:
    """What the parser would refuse from others is not sent by us."""
    try:
        m = request.outline
        for route in m.values("Route"):
            NameAddr.parse(route)
    except PeerError as error:
        raise ValueError(f"not a request that can be sent: {error.reason}") from None
    except NotSip as error:
        raise ValueError(f"not a request that can be sent: {error}") from None
    if m.cseq_method != request.method or m.cseq < 0:
        raise ValueError(f"CSeq is a number and {request.method}, not {text.decode(m.first('CSeq') or b'')!r}")
    if m.content_length != len(request.body) or len(m.body) != len(request.body):
        raise ValueError("Content-Length is not that of the body")
    if not 0 <= m.max_forwards <= 255:
        raise ValueError("Max-Forwards is a number from 0 to 255")
    if len(m.raw) > LARGEST_BYTES:
        raise ValueError("the request does not fit into a datagram")


class Sending(Coroutine[Any, Any, "Reply | None"]):
    """What send_request gives: the request is on its way whether this is awaited or not. May be awaited several times,
    and be given to asyncio as a coroutine can. It keeps nothing: each step asks the future."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, Any, Reply | None]:
        steps: Generator[Any, Any, Reply | None] = self._future.__await__()
        return steps

    def send(self, value: Any) -> Any:
        """See Coroutine.send: the future to wait for, or its result in a StopIteration."""
        return next(self._future.__await__())

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """See Coroutine.throw."""
        raise kind if isinstance(kind, BaseException) else value or kind()

    def close(self) -> None:
        """See Coroutine.close; the request stays on its way."""
