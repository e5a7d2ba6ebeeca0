"""Arming: what a handler does to a request is recorded here and carried out after the handlers have returned.

One pending action; the last call wins, whoever makes it (reply, relay, fork, registrar.save, a failed auth check).
Reply header edits, the record-route flag and `vars` accumulate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from siphon.script import log, text
from siphon.script._fields import RequestFields
from siphon.script.addresses import Addressed
from siphon.script.contact import Contact, Destination
from siphon.script.flow import Flow, address, split_address
from siphon.script.outcome import Answer, Edit, Fork, Relay, TargetSpec, ViaOverride
from siphon.script.phase import Phase
from siphon.script.uri import SipUri
from siphon.sip.build import reason_for
from siphon.sip.message import COMPACT
from siphon.sip.uri import Uri

if TYPE_CHECKING:
    from siphon.script.reply import Reply
    from siphon.script.request import Request

Callback = Callable[..., Any]

STRATEGIES = ("parallel", "sequential", "q")
TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss", "sctp")
COPIED_IF_SET = {
    "www-authenticate": "WWW-Authenticate",
    "proxy-authenticate": "Proxy-Authenticate",
    "sip-etag": "SIP-ETag",
}
"""Headers that answers copy from the request only when the script itself set them there."""

_OF_THE_TRANSACTION = frozenset(("via", "from", "to", "call-id", "cseq", "content-length"))
_SENT_BY = re.compile(r"(?:[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?\Z")


def standard_reason(code: int) -> str:
    """The reason phrase of the standard table."""
    return reason_for(code)


def status(code: object, lowest: int = 100) -> int:
    """A status code in lowest..699, else ValueError."""
    if not isinstance(code, int) or isinstance(code, bool) or not lowest <= code <= 699:
        raise ValueError(f"a status code is a whole number {lowest}-699, not {code!r}")
    return code


def never_408(code: int, phrase: str, method: str) -> tuple[int, str]:
    """Status and reason of an answer: no request but INVITE is ever answered 408 (RFC 4320 §4.2), it is 504 then."""
    if code != 408 or method == "INVITE":
        return code, phrase
    log.advise(f"408 to {method} is sent as 504: only an INVITE may be answered 408 (RFC 4320)")
    return 504, standard_reason(504)


def seconds(timeout: object) -> float | None:
    """A ring time: None, or a positive number."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0 or math.isinf(timeout):
        raise ValueError(f"timeout is a number of seconds > 0, not {timeout!r}")
    return float(timeout)


def socket_name(value: object) -> str | None:
    """`<transport>:<ip>:<port>`, IPv6 in brackets; ValueError when malformed."""
    if value is None:
        return None
    given = text.one_line(value, "send_socket")
    transport, colon, rest = given.partition(":")
    ip, port = split_address(rest)
    ip_address(ip)
    if not colon or transport.lower() not in TRANSPORTS or not 0 < port < 65536 or (":" in ip) != rest.startswith("["):
        raise ValueError(f"send_socket is 'transport:ip:port', not {given!r}")
    return given


def target(value: object) -> TargetSpec:
    """One entry of a fork; TypeError for anything but str, SipUri, Contact and Destination."""
    if isinstance(value, Contact):
        return value.target()
    if not isinstance(value, (str, SipUri, Destination)):
        raise TypeError(f"a target is a str, SipUri, Contact or Destination, not {type(value).__name__}")
    given = text.one_line(str(value), "target").strip()
    if given.startswith("<") and given.endswith(">"):
        given = given[1:-1]
    spec = TargetSpec(given, address=numeric_address(value) if isinstance(value, Destination) else None)
    try:
        Uri.parse(given)
    except ValueError:
        spec.valid = False
    return spec


def numeric_address(destination: Destination) -> str | None:
    """Where a destination is sent to; None: to its URI. ValueError when it is not "ip:port"."""
    if destination.address:
        split_address(text.one_line(destination.address, "address"))
    return destination.address or None


def reply_header_name(name: str) -> str:
    """A header that a script may put into an answer; ValueError for those that make it the answer to its request."""
    checked = text.header_name(name)
    if COMPACT.get(checked.lower(), checked.lower()) in _OF_THE_TRANSACTION:
        raise ValueError(f"{checked} of an answer is copied from its request (RFC 3261 section 8.2.6)")
    return checked


class Answering(RequestFields, Addressed):
    """What a request is answered with, or where it goes."""

    __slots__ = ()

    def _may_arm_late(self, what: str) -> bool:
        """Whether an action may be armed where it is not the time for it."""
        if self._phase is Phase.CLOSED:
            raise RuntimeError(f"{what}: the handlers of this request have returned")
        log.advise(f"{what} has no effect in on_reply and on_cancel")
        return False

    def _decides(self) -> bool:
        """Whether what is armed ends the transaction or goes on with it: a provisional does neither."""
        action = self._action
        return action is not None and not (isinstance(action, Answer) and action.status < 200)

    # -- answers

    def reply(self, code: int, reason: str | None = None, reliable: bool = False) -> None:
        """Arm a response 100-699; a provisional leaves the transaction pending."""
        code = status(code)
        phrase = standard_reason(code) if reason is None else text.one_line(reason, "reason")
        if not self._may_arm("reply()"):
            return
        method = self._message.method
        if 100 < code < 200 and method != "INVITE":
            log.advise(f"{code} to {method} is not sent: only 100 may precede its final (RFC 4320)")
            return
        code, phrase = never_408(code, phrase, method)
        self._arm(Answer(code, phrase, reliable=self._reliably(code, bool(reliable))))

    def _reliably(self, code: int, wanted: bool) -> bool:
        """Whether a response is a reliable provisional (RFC 3262 §3): a caller that requires it gets no other."""
        possible = 100 < code < 200
        if possible and self._names_100rel("Require"):
            return True
        if wanted and not (possible and self._names_100rel("Supported")):
            log.advise(f"{code} is sent unreliably: not a 101-199 to an INVITE whose sender supports 100rel")
            return False
        return wanted

    def _names_100rel(self, name: str) -> bool:
        """Whether that header of the request has the option tag."""
        return any(value.lower() == b"100rel" for value in self._message.values(name))

    def set_reply_header(self, name: str, value: str) -> None:
        """Replace a header of whatever response will be armed."""
        self._queue(("set", reply_header_name(name), text.header_value(value)))

    def add_reply_header(self, name: str, value: str) -> None:
        """Append a header to whatever response will be armed."""
        self._queue(("add", reply_header_name(name), text.header_value(value)))

    def _queue(self, edit: Edit) -> None:
        if self._reply_edits is None:
            self._reply_edits = []
        self._reply_edits.append(edit)

    def set_reply_body(self, body: str | bytes, content_type: str) -> None:
        """The body of whatever response will be armed, and its Content-Type."""
        new = text.body_bytes(body)
        self._queue(("set", "Content-Type", text.header_value(text.one_line(content_type, "content type"))))
        self._reply_body = new

    def set_reply_to_tag(self, tag: str) -> None:
        """The To tag of the response; ignored when the request has one."""
        tag = text.token(tag, "tag")
        if self._message.to_tag is None:
            self._reply_to_tag = tag

    # -- routing

    def _relay(
        self,
        next_hop: str | SipUri | Destination | None,
        on_reply: Callable[[Request, Reply], Any] | None,
        on_failure: Callable[[Request, int, str], Any] | None,
        flow: Flow | None,
        send_socket: str | None,
        timeout: float | None,
    ) -> None:
        """relay(), whatever was given."""
        if flow is not None and not isinstance(flow, Flow):
            raise TypeError(f"flow is a Flow, not {type(flow).__name__}")
        if next_hop is not None and not isinstance(next_hop, (str, SipUri, Destination)):
            raise TypeError(f"next_hop is a str, SipUri or Destination, not {type(next_hop).__name__}")
        action = Relay(
            None if next_hop is None else text.one_line(str(next_hop), "next_hop").strip(),
            None if flow is None else flow.spec(),
            None if send_socket is None else self._send_socket(send_socket),
            None,
            None if on_reply is None else self._callback(on_reply, "on_reply"),
            None if on_failure is None else self._callback(on_failure, "on_failure"),
            None if timeout is None else seconds(timeout),
            None if next_hop is None else self._configured_address(next_hop),
        )
        if self._may_arm("relay()"):
            self._arm(action)

    def _fork(
        self,
        targets: Iterable[str | SipUri | Contact | Destination],
        strategy: str,
        send_socket: str | None,
        on_reply: Callable[[Request, Reply], Any] | None,
        on_failure: Callable[[Request, int, str], Any] | None,
        timeout: float | None,
    ) -> None:
        """fork(), whatever was given."""
        if type(targets) is not list and (isinstance(targets, (str, bytes)) or not isinstance(targets, Iterable)):
            raise TypeError(f"targets is a list of targets, not {type(targets).__name__}")
        specs = [entry.target() if type(entry) is Contact else target(entry) for entry in targets]
        if self._context.services.gateways is not None:
            for spec in specs:
                if not spec.is_contact and spec.address is None:
                    spec.address = self._context.services.gateways.address_of(spec.uri)
        socket = None if send_socket is None else self._send_socket(send_socket)
        reply_name = None if on_reply is None else self._callback(on_reply, "on_reply")
        failure_name = None if on_failure is None else self._callback(on_failure, "on_failure")
        ring = None if timeout is None else seconds(timeout)
        if not isinstance(strategy, str):
            raise TypeError(f"strategy is a str, not {type(strategy).__name__}")
        if strategy not in STRATEGIES:
            log.advise(f"fork: unknown strategy {strategy!r}, taken as 'parallel'")
            strategy = "parallel"
        if not self._may_arm("fork()"):
            return
        for spec in specs:
            if spec.valid or spec.is_contact:
                self._arm(Fork(specs, strategy, socket, reply_name, failure_name, ring))
                return
        reason = "No Valid Targets" if specs else "No Targets"
        log.advise(f"fork: {reason.lower()}: 500 unless another action follows")
        self._arm(Answer(500, reason))

    def _configured_address(self, next_hop: str | SipUri | Destination) -> str | None:
        """Where a gateway destination is configured to be reached, also where the script gives its URI only."""
        if isinstance(next_hop, Destination):
            return numeric_address(next_hop)
        gateways = self._context.services.gateways
        return None if gateways is None else gateways.address_of(str(next_hop).strip())

    def _send_socket(self, name: str | None) -> str | None:
        """The listener to send from; one that this instance does not have is a warning and the normal choice."""
        given = socket_name(name)
        identity = self._context.identity
        if given is None or identity is None:
            return given
        transport, _, place = given.partition(":")
        for listener in identity.listeners:
            if (str(listener.transport).lower(), address(listener.ip, listener.port)) == (transport.lower(), place):
                return given
        log.advise(f"send_socket {given} is none of our listeners: the normal choice is made")
        return None

    def _callback(self, function: Callback | None, what: str) -> str | None:
        """The stored name of a per-relay callback; ValueError when that name would not lead back to it."""
        if function is None:
            return None
        script = self._context.script
        if script is None:
            raise RuntimeError("callbacks need a loaded script")
        return script.name_of(function, what)

    def force_send_via(self, transport: str, target: str) -> None:
        """Outbound transport and the sent-by `host[:port]` of our Via, for relay()."""
        kind = text.one_line(transport, "transport").lower()
        if kind not in TRANSPORTS:
            raise ValueError(f"not a transport: {transport!r}")
        found = _SENT_BY.match(text.one_line(target, "target"))
        if found is None or not 0 < int(found[1] or 5060) < 65536:
            raise ValueError(f"not a host[:port]: {target!r}")
        self._via = ViaOverride(kind, target)
