"""A datagram on its way in: parsed, classified, and made an event of the record it concerns (API 16.1).

In: bytes and where they came from. Out: calls of the core, or a stateless answer. Whatever arrives is answered by
rule or dropped; a fault of the peer is a PeerError here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from siphon.config.settings import Settings
from siphon.engine._acks import PlainAcks
from siphon.engine._arrivals import PlainRequests
from siphon.engine._attempts import PlainAttempts
from siphon.engine._plain import PlainResponses
from siphon.engine._runs import PlainRuns
from siphon.engine.acks import RoutedAck, ack_datagram, name_to_resolve, route_ack
from siphon.engine.core import Core
from siphon.engine.counters import Counter
from siphon.engine.dialogs import answered
from siphon.engine.events import AckEvent, CancelEvent, Event, RequestEvent, ResponseEvent, UnreachableEvent
from siphon.engine.guard import Guard
from siphon.engine.rates import PerSecond
from siphon.engine.reliable import PrackEvent
from siphon.engine.requests import Arrival, reply_place
from siphon.engine.taps import Taps
from siphon.forwarding.branch import non_invite_ids, parse_branch, to_tag, transaction_id, transaction_of_tag
from siphon.forwarding.routes import strip_own_maddr
from siphon.script.outcome import Outcome
from siphon.services.limits import LiveTransactions
from siphon.sip.build import REASONS, response
from siphon.sip.draft import Draft
from siphon.sip.errors import BadResponse, NotSip, PeerError
from siphon.sip.identity import Identity
from siphon.sip.message import ParseLimits, SipMessage, parse, stamp_source, strip_top_via
from siphon.sip.uri import Uri
from siphon.state.record import Record
from siphon.state.store import Commit, Loaded, Send
from siphon.transaction.step import Step

MALFORMED_PER_SECOND = 10
"""Answers to malformed requests of one source address a second, in one process (SEC-13)."""
RETRY_AFTER = ("Retry-After", "5")
GROWTH_BYTES = 1024
GROWTH_LINES = 8
BROADCAST = b"255.255.255.255"
_OUR_VIA = re.compile(
    rb"^[A-Z]+ [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?(?:Via|v)[ \t]*:[^\r\n]*?;branch=([^;,\s]+)", re.IGNORECASE
)
_CALL_ID = re.compile(rb"^(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def without_own_maddr(message: SipMessage, identity: Identity, listener: int) -> SipMessage:
    """The request as it is served when its Request-URI has a maddr of ours (RFC 3261 §16.4); else the same object."""
    if b"maddr" not in message.uri.lower():
        return message
    try:
        stripped = strip_own_maddr(Uri.parse(message.uri), identity.listeners[listener].port, identity)
    except ValueError:
        return message
    if stripped is None:
        return message
    draft = Draft(message)
    draft.set_uri(stripped)
    return parse(draft.to_bytes())


def limits_of(settings: Settings) -> ParseLimits:
    """What a request may bring (`limits.*`)."""
    limits = settings.limits
    return ParseLimits(
        header_bytes=limits.header_bytes, line_bytes=limits.line_bytes, headers=limits.headers, vias=limits.vias
    )


@lru_cache(maxsize=4)
def limits_of_responses(limits: ParseLimits) -> ParseLimits:
    """A response mirrors a request that had grown here by a Via and Record-Route values."""
    return ParseLimits(
        header_bytes=limits.header_bytes + GROWTH_BYTES,
        line_bytes=limits.line_bytes + GROWTH_BYTES,
        headers=limits.headers + GROWTH_LINES,
        vias=limits.vias + 1,
    )


def is_for_everybody(response: SipMessage) -> bool:
    """Whether the Via below ours routes the response to the broadcast address (RFC 4475 §3.3.10): no request that we
    forwarded had it, since we write the source of each into its Via."""
    if BROADCAST not in response.raw or response.via_count < 2:
        return False
    via = parse(strip_top_via(response)).via
    return (via.maddr or via.received or via.host) == BROADCAST


class Checks(Protocol):
    """Compares what the short ways decide with what the engine does (siphon/testing/plain.py)."""

    def response(self, message: SipMessage, source: str, loaded: Loaded, now: float, commit: Commit) -> None: ...

    def request(
        self,
        message: SipMessage,
        source: tuple[str, int],
        listener: int,
        local_ip: str,
        arrived: float,
        record: Record,
        now: float,
        commit: Commit,
    ) -> None: ...

    def attempt(self, before: bytes, outcome: Outcome, step: Step) -> None: ...

    def commit(self, record: Record, now: float, version: int, commit: Commit) -> None: ...

    def answer(
        self, before: bytes, message: SipMessage, outcome: Outcome, record: Record, data: bytes, now: float
    ) -> None: ...

    def ack(
        self, message: SipMessage, source: tuple[str, int], listener: int, local_ip: str, token: bytes, send: Send
    ) -> None: ...


@dataclass(slots=True)
class Ingest:
    """One process's way in. `send` sends a datagram that no record explains; `random_bits(n)` draws."""

    core: Core
    send: Callable[[Send], None]
    wall: Callable[[], float]
    random_bits: Callable[[int], int]
    script_version: Callable[[], int]
    refusing: Callable[[], bool]
    """New work outside dialogs gets 503: the instance drains, or state that it shares is away."""
    overloaded: Callable[[], bool]
    limits: ParseLimits = field(default_factory=ParseLimits)
    sources: LiveTransactions | None = None
    """Counts what lives of each source, for limits.per_source."""
    guard: Guard | None = None
    """Says what is dropped unread."""
    tap: Taps | None = None
    """Who wants copies of what comes."""
    elsewhere: Callable[[SipMessage, Callable[[bytes | None], None]], None] | None = None
    """Asks other nodes which INVITE they have answered in the dialog of a message."""
    plain: PlainResponses | None = None
    """The short way for most responses, where the store answers at once."""
    arrivals: PlainRequests | None = None
    """The same for new requests."""
    short_acks: PlainAcks | None = None
    """The same for the ACK to a 2xx."""
    malformed: PerSecond = field(default_factory=lambda: PerSecond(MALFORMED_PER_SECOND))

    def datagram(self, data: bytes, source: tuple[str, int], listener: int, local_ip: str, arrived: float) -> None:
        """Serve one datagram; never raises for what a peer sent."""
        guard = self.guard
        if guard is not None and guard.armed and guard.drops(data, source[0]):
            return
        if self.tap is not None:
            self.tap.received(data, source, listener, local_ip, arrived)
        count = self.core.reporter.count
        try:
            message = parse(data, self.limits_of_responses if data[:4] == b"SIP/" else self.limits)
        except (NotSip, BadResponse, PeerError) as error:
            self.unreadable(error, source, listener, local_ip)
            return
        if message.is_request:
            count(Counter.REQUESTS)
            if guard is not None and guard.screens and guard.is_scanner(message, source[0]):
                return
            if not self._request_is_plain(message, source, listener, local_ip, arrived):
                self.request(message, source, listener, local_ip, arrived)
        else:
            count(Counter.RESPONSES)
            if self.plain is None or not self.plain.take(message, source[0]):
                self.response(message, source[0])

    def unreadable(
        self, error: NotSip | BadResponse | PeerError, source: tuple[str, int], listener: int, local_ip: str
    ) -> None:
        """What cannot be parsed is counted, and refused where it is a request."""
        self.core.reporter.count(Counter.IGNORED if isinstance(error, NotSip) else Counter.MALFORMED)
        if isinstance(error, PeerError):
            self._refuse_malformed(error, source, listener, local_ip)

    def _request_is_plain(
        self, message: SipMessage, source: tuple[str, int], listener: int, local_ip: str, arrived: float
    ) -> bool:
        """Whether a short way has taken it."""
        if message.method == "ACK":
            return self.short_acks is not None and self.short_acks.take(message, source, listener, local_ip)
        return self.arrivals is not None and self.arrivals.take(message, source, listener, local_ip, arrived)

    @property
    def limits_of_responses(self) -> ParseLimits:
        """As `limits`, of responses."""
        return limits_of_responses(self.limits)

    def shorten(self, check: Checks | None = None) -> None:
        """Take the short ways, those of whole events where the store answers at once; `check` compares them with the
        long one."""
        self.core.env.plain = PlainAttempts(self.core.env, check.attempt if check else None)
        if self.core.store.at_once:
            self.plain = PlainResponses(self.core, check.response if check else None)
            runs = PlainRuns(self.core, check.commit if check else None, check.answer if check else None)
            self.arrivals = PlainRequests(self, runs, check.request if check else None)
            self.short_acks = PlainAcks(self, check.ack if check else None)

    # -- responses ----------------------------------------------------------------------------------------------------

    def response(self, message: SipMessage, source: str) -> None:
        """A response that is not plain carries the key of its record in our branch; sent-by must be ours, or what the
        script has put in its place (PRX-41)."""
        via = message.via
        ours = parse_branch(via.branch)
        if ours is None or is_for_everybody(message):
            self.core.reporter.count(Counter.STRAYS)
            return
        foreign = not self.core.env.identity.is_our_sent_by(via.host.decode("latin-1"), via.port)
        self.core.process(ResponseEvent(ours.transaction, ours, message, source, foreign_via=foreign))

    def unreachable(self, data: bytes) -> None:
        """ICMP quotes a datagram of ours, perhaps cut; its branch is read. A response is only logged."""
        self.core.reporter.count(Counter.UNREACHABLE)
        if data.startswith(b"SIP/"):
            call_id = _CALL_ID.search(data)
            self.core.reporter.note(
                "response.undeliverable",
                b"",
                response=data[8:].partition(b"\r\n")[0],
                of=b"-" if call_id is None else call_id[1],
            )
            return
        found = _OUR_VIA.match(data)
        ours = None if found is None else parse_branch(found[1])
        if ours is not None:
            self.core.process(UnreachableEvent(ours.transaction, ours))

    # -- requests -----------------------------------------------------------------------------------------------------

    def request(
        self, message: SipMessage, source: tuple[str, int], listener: int, local_ip: str, arrived: float
    ) -> None:
        """A request that is not plain."""
        core, env = self.core, self.core.env
        message = stamp_source(message, source[0], source[1], env.settings.nat.force_rport)
        message = without_own_maddr(message, env.identity, listener)
        arrival = Arrival(
            message, source, listener, local_ip, arrived, self.wall(), self.random_bits(32), self.script_version()
        )
        if reply_place(message, source) is None:
            core.reporter.count(Counter.IGNORED)  # a maddr that nothing is ever sent to (NAT-05)
            return
        key = transaction_id(message, env.id_key)
        if message.method == "ACK":
            core.take(AckEvent(key, arrival, self._ack))
        elif message.method == "CANCEL":
            core.take(self._cancel(key, arrival, non_invite_ids(message, env.id_key)))
        elif message.method == "PRACK":
            self._prack(arrival, key)
        else:
            self._new(arrival, key)

    def _new(self, arrival: Arrival, key: bytes) -> None:
        if self._takes_new_work(arrival.message, key, arrival):
            self.core.take(RequestEvent(key, arrival))

    def _prack(self, arrival: Arrival, key: bytes) -> None:
        """A PRACK: for a reliable response of ours when its To tag leads to the record of that INVITE, or its dialog
        does (API 16.1); else a request like any other."""

        def found(invite: bytes | None) -> None:
            if invite is None:
                self._new(arrival, key)
            else:
                self.core.process(PrackEvent(invite, arrival, key, lambda arrival: self._new(arrival, key)))

        def by_dialog(arrival: Arrival) -> None:
            self._answered(arrival.message, found)

        invite = transaction_of_tag(arrival.message.to_tag or b"", self.core.env.tag_key)
        if invite is None:
            by_dialog(arrival)
        else:
            self.core.process(PrackEvent(invite, arrival, key, by_dialog))

    def _takes_new_work(self, message: SipMessage, key: bytes, arrival: Arrival) -> bool:
        if self.overloaded() or (self.refusing() and not message.to_tag):
            if self.core.store.head(key) is not None:
                return True
            self.stateless(arrival, 503, headers=[RETRY_AFTER])
            return False
        return self._within_share(key, arrival)

    def _within_share(self, key: bytes, arrival: Arrival) -> bool:
        """Whether the source may have one more live transaction (SEC-12); what is known already is none more."""
        most = self.core.env.settings.limits.per_source
        if most is None or self.sources is None:
            return True
        if self.sources.admit(arrival.source[0], most, key, self.core.clock()):
            return True
        if self.core.store.head(key) is not None:
            return True
        self.core.reporter.count(Counter.LIMITED)
        self.stateless(arrival, 503, headers=[RETRY_AFTER])
        return False

    def _ack(self, arrival: Arrival) -> None:
        """An ACK that matches no record: for a 2xx of ours, for a 2xx that we forwarded, or for nobody.

        With the INVITE's branch and our To tag it is for a failure that was sent statelessly or is long over (TXN-26).
        """
        env = self.core.env
        key = transaction_of_tag(arrival.message.to_tag or b"", env.tag_key)
        if key is not None and key == transaction_id(arrival.message, env.id_key):
            self.core.reporter.count(Counter.ACKS_DROPPED)
        elif key is not None:
            self.core.process(AckEvent(key, arrival, self._forward_ack))
        else:
            self._forward_ack(arrival)

    def _forward_ack(self, arrival: Arrival) -> None:
        env = self.core.env
        ack = route_ack(arrival, env)
        if ack is None:
            self._ack_by_dialog(arrival)
            return
        name = name_to_resolve(ack, env)
        if name is not None and env.resolve(name) is None:
            self.core.resolver.look_up({name}, lambda: self._send_ack(ack))
        else:
            self._send_ack(ack)

    def _ack_by_dialog(self, arrival: Arrival) -> None:
        """For a 2xx of ours whose To tag the script has chosen, or for nobody."""

        def drop(_: Arrival) -> None:
            self.core.reporter.count(Counter.ACKS_DROPPED)

        def found(invite: bytes | None) -> None:
            if invite is None:
                drop(arrival)
            else:
                self.core.process(AckEvent(invite, arrival, drop))

        self._answered(arrival.message, found)

    def _answered(self, message: SipMessage, then: Callable[[bytes | None], None]) -> None:
        """The INVITE that was answered here, or by another node, in the dialog of a message."""
        invite = answered(self.core.env, message)
        if invite is not None or self.elsewhere is None:
            then(invite)
        else:
            self.elsewhere(message, then)

    def _send_ack(self, ack: RoutedAck) -> None:
        datagram = ack_datagram(ack, self.core.env, b"%032x" % self.random_bits(128))
        self.core.reporter.count(Counter.ACKS_DROPPED if datagram is None else Counter.ACKS_FORWARDED)
        if datagram is not None:
            self.send(datagram)

    def _cancel(self, key: bytes, arrival: Arrival, others: Iterator[bytes]) -> CancelEvent:
        """A CANCEL of the request with this key; where there is none, of the next of `others`."""
        same_source = self.core.env.settings.security.cancel_same_source
        return CancelEvent(key, arrival, lambda arrival: self._cancel_other(arrival, others), same_source)

    def _cancel_other(self, arrival: Arrival, others: Iterator[bytes]) -> None:
        """A CANCEL of no INVITE: 200 where it names another request that is still known, else 481. Only the record of
        that request tells which To tag its answers have."""
        key = next((key for key in others if self.core.store.head(key) is not None), None)
        if key is None:
            self.stateless(arrival, 481)
        else:
            self.core.process(self._cancel(key, arrival, others))

    # -- stateless answers
    # ----------------------------------------------------------------------------------------------

    def refuse(self, event: Event, why: str) -> None:
        """New work for which there is no room: 503 with Retry-After, or 513 (SHARED-35, SHARED-37)."""
        if isinstance(event, RequestEvent):
            if why == "large":
                self.stateless(event.arrival, 513)
            else:
                self.stateless(event.arrival, 503, headers=[RETRY_AFTER])

    def stateless(self, arrival: Arrival, status: int, headers: list[tuple[str, str]] | None = None) -> None:
        """Answer once, without a record; the To tag is a function of the request (TXN-26)."""
        message, env = arrival.message, self.core.env
        place = reply_place(message, arrival.source)
        if place is None or message.method == "ACK":
            return
        self.core.reporter.count(Counter.STATELESS)
        tag = to_tag(transaction_id(message, env.id_key), env.tag_key)
        data = response(message, status, REASONS.get(status, ""), tag, headers or [], b"", server=env.server)
        self.send(Send(data, place, arrival.listener, arrival.local_ip))

    def _refuse_malformed(self, error: PeerError, source: tuple[str, int], listener: int, local_ip: str) -> None:
        message = error.message
        if message is None or message.method == "ACK" or not self.malformed.allows(source[0], self.core.clock()):
            return
        env = self.core.env
        message = stamp_source(message, source[0], source[1], env.settings.nat.force_rport)
        place = reply_place(message, source)
        if place is None:
            return
        tag = to_tag(transaction_id(message, env.id_key), env.tag_key)
        data = response(message, error.status, error.reason, tag, error.headers, b"", server=env.server)
        self.core.reporter.count(Counter.STATELESS)
        self.send(Send(data, place, listener, local_ip))
