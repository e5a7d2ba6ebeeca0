"""The namespace `proxy`: decorators of request and response handlers, and checks before any work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from siphon.script import binding, log
from siphon.script._fields import Checks
from siphon.script.contact import Destination
from siphon.script.registry import decorator
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.sending import Sending, own_request
from siphon.script.stubs import not_here, unavailable
from siphon.script.uri import SipUri

RequestHandler = TypeVar("RequestHandler", bound=Callable[[Request], Any])
ReplyHandler = TypeVar("ReplyHandler", bound=Callable[[Request, Reply], Any])

REQUIRED = ("Via", "From", "To", "Call-ID", "CSeq")


class Proxy(Checks):
    """`from siphon import proxy`."""

    __slots__ = ()

    @overload
    def on_request(self, filter: RequestHandler, /) -> RequestHandler: ...  # noqa: A002
    @overload
    def on_request(self, filter: str | None = None, /) -> Callable[[RequestHandler], RequestHandler]: ...  # noqa: A002
    def on_request(self, filter: Any = None, /) -> Any:  # noqa: A002
        """Handle requests: `fn(request)`. Bare, or with methods such as "INVITE|BYE"."""
        return decorator("proxy.on_request", filter)

    @overload
    def on_reply(self, function: ReplyHandler, /) -> ReplyHandler: ...
    @overload
    def on_reply(self, function: None = None, /) -> Callable[[ReplyHandler], ReplyHandler]: ...
    def on_reply(self, function: Any = None, /) -> Any:
        """Handle responses 101-699 of a branch: `fn(request, reply)`; call `reply.relay()` to let it pass."""
        return _bare("proxy.on_reply", function)

    @overload
    def on_failure(self, function: ReplyHandler, /) -> ReplyHandler: ...
    @overload
    def on_failure(self, function: None = None, /) -> Callable[[ReplyHandler], ReplyHandler]: ...
    def on_failure(self, function: Any = None, /) -> Any:
        """Handle the failure of all branches: `fn(request, reply)`; retarget, answer, or `reply.relay()`."""
        return _bare("proxy.on_failure", function)

    @overload
    def on_cancel(self, function: RequestHandler, /) -> RequestHandler: ...
    @overload
    def on_cancel(self, function: None = None, /) -> Callable[[RequestHandler], RequestHandler]: ...
    def on_cancel(self, function: Any = None, /) -> Any:
        """Told that a pending INVITE was cancelled: `fn(request)`; nothing it does changes the answer."""
        return _bare("proxy.on_cancel", function)

    @overload
    def on_register_reply(self, function: ReplyHandler, /) -> ReplyHandler: ...
    @overload
    def on_register_reply(self, function: None = None, /) -> Callable[[ReplyHandler], ReplyHandler]: ...
    def on_register_reply(self, function: Any = None, /) -> Any:
        """Never called: on_reply covers REGISTER."""
        log.warn_of_script("proxy.on_register_reply handlers are never called: on_reply covers REGISTER")
        return _bare("proxy.on_register_reply", function)

    def _sanity_check(self, request: Request) -> bool:
        """sanity_check() of a request that was edited."""
        return _is_sane_as_edited(_request(request))

    def rate_limit(self, request: Request, window_secs: float, max_requests: int) -> bool:
        """True while the source is within `max_requests` in `window_secs`, counted by all workers. What is refused does
        not count; one request counts once, however often it is asked about."""
        context = _request(request)._context
        for value in (window_secs, max_requests):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ValueError("window_secs and max_requests are numbers above 0")
        limiter = binding.current().services.limiter
        if limiter is None:
            raise RuntimeError("rate limits are not there: a script may use them in handlers, not while it is loaded")
        source = context.source[0]
        return limiter(source, float(window_secs), int(max_requests), context.transaction_id, context.now)

    def memory_used_pct(self) -> int:
        """Memory of all processes of the instance in percent of the machine; 0 if unknown."""
        probe = binding.current().services.memory_used_pct
        return 0 if probe is None else probe()

    async def enum_lookup(self, number: str, suffix: str = "e164.arpa.", service: str = "E2U+sip") -> str | None:
        """The URI that ENUM (RFC 6116) gives for the digits of a number; None when there is none, or no answer."""
        for value, what in ((number, "number"), (suffix, "suffix"), (service, "service")):
            if not isinstance(value, str):
                raise TypeError(f"{what} must be str, not {type(value).__name__}")
        bound = binding.current()
        enum = bound.services.enum
        if enum is None or bound.load_warnings is not None:
            raise not_here("proxy.enum_lookup")
        return await enum.lookup(number, suffix, service)

    def send_request(
        self,
        method: str,
        ruri: str | SipUri,
        headers: Mapping[str, Any] | None = None,
        body: str | bytes | None = None,
        next_hop: str | SipUri | Destination | None = None,
        wait_for_response: bool = False,
        timeout_ms: float = 2000,
    ) -> Sending:
        """A request of our own: on its way when this returns. Awaited: its final response, or None (API 5).

        ValueError for what cannot be sent, RuntimeError when the target does not resolve: at once, or where a name has
        to be looked up first, when this is awaited.
        """
        bound = binding.current()
        agent = bound.settings.server.user_agent_header
        own = own_request(method, ruri, headers, body, next_hop, wait_for_response, timeout_ms, agent)
        if bound.services.send_request is None or bound.load_warnings is not None:
            raise not_here("proxy.send_request")
        return bound.services.send_request(own)

    subscribe_state = unavailable("proxy.subscribe_state")

    def __repr__(self) -> str:
        return "<namespace proxy>"


def _bare(kind: str, function: object) -> Any:
    """A decorator without a filter."""
    if function is not None and not callable(function):
        raise TypeError(f"{kind} takes no filter")
    return decorator(kind, function)


def _is_sane_as_edited(request: Request) -> bool:
    if not all(request.has_header(name) for name in REQUIRED) or request.max_forwards == 0:
        return False
    cseq = (request.get_header("CSeq") or "").split()
    if len(cseq) != 2 or not _is_number(cseq[0]) or cseq[1] != request.method:
        return False
    length = request.get_header("Content-Length")
    return length is None or (_is_number(length) and int(length) == len(request.body or b""))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11 and int(text) < 1 << 32


def _request(value: object) -> Request:
    if not isinstance(value, Request):
        raise _not_a_request(value)
    return value


def _not_a_request(value: object) -> TypeError:
    return TypeError(f"a Request is needed, not {type(value).__name__}")
