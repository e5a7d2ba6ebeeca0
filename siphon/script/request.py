"""Request: a SIP request as handlers see it, over the parsed message and the facts of its transaction.

Cheap to make and lazy: a str, a URI or a dict exists once a handler asks for it. `Request(message, context)` is made by
the engine, one for each run of handlers; it must not outlive the handlers' event, the Outcome does.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from siphon.forwarding._own_route import without_line
from siphon.forwarding.routes import ALL_CONSUMED, RouteFacts, loose_route
from siphon.forwarding.trim import clean_target
from siphon.script import log, text
from siphon.script.address import first_address, parameter, uri_span
from siphon.script.addresses import route_value
from siphon.script.answering import COPIED_IF_SET, Answering
from siphon.script.checking import parsed
from siphon.script.flow import Flow, udp_flow
from siphon.script.gateways import is_from
from siphon.script.phase import Phase
from siphon.script.stubs import unavailable
from siphon.script.uri import SipUri
from siphon.sip.draft import Draft
from siphon.sip.splices import Splices

Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1024)
def network(given: str) -> Network | None:
    """A CIDR string or a single address; None when it is neither. IPv4-mapped IPv6 counts as IPv4."""
    try:
        found = ip_network(given.strip(), strict=False)
    except ValueError:
        return None
    if isinstance(found, IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped is not None:
        return ip_network(f"{found.network_address.ipv4_mapped}/{found.prefixlen - 96}")
    return found


class Request(Answering):
    """One SIP request. Edits are forwarded downstream; answers and routes are armed, and the last one wins."""

    __slots__ = ()

    # -- the request line

    def set_ruri(self, uri: str | SipUri) -> None:
        """Replace the whole Request-URI; ValueError when it is not a URI."""
        if not isinstance(uri, (str, SipUri)):
            raise TypeError(f"a URI is a str or SipUri, not {type(uri).__name__}")
        self._put_uri(str(SipUri(str(uri))))
        self._ruri, self._uri_set = None, True

    def set_ruri_user(self, user: str | None) -> None:
        """Replace the user part only; None removes it."""
        self.ruri.user = user

    def set_ruri_host(self, host: str) -> None:
        """Replace the host only; the port stays."""
        self.ruri.host = host

    def _put_uri(self, uri: str) -> None:
        self._uri = clean_target(text.encode(uri))
        self._edit().set_uri(self._uri)

    # -- From, To, Call-ID, CSeq

    def _edited_tag(self, name: str) -> str | None:
        value = self.get_header(name)
        return None if value is None else parameter(value, "tag")

    @property
    def contact_expires(self) -> int | None:
        """`expires` of the first Contact, else the Expires header; None when neither is a number."""
        contact = self.get_header("Contact")
        for given in (parameter(contact, "expires") if contact else None, self.get_header("Expires")):
            if given is not None and given.isascii() and given.isdigit():
                return int(given)
        return None

    # -- where it came from

    @property
    def flow(self) -> Flow | None:
        """Where the request came in."""
        context = self._context
        if context.listener is None:
            return None
        return udp_flow(context.source, (context.local_ip or context.listener.ip, context.listener.port))

    def source_ip_in(self, networks: Iterable[str]) -> bool:
        """Whether the source is in one of the networks (CIDR strings or addresses)."""
        if isinstance(networks, str):
            networks = [networks]
        if not isinstance(networks, Iterable):
            raise TypeError(f"source_ip_in takes networks as a list of str, not {type(networks).__name__}")
        source = ip_address(self._context.source[0].partition("%")[0])
        if isinstance(source, IPv6Address) and source.ipv4_mapped is not None:
            source = source.ipv4_mapped
        for given in networks:
            found = network(given) if isinstance(given, str) else None
            if found is None:
                log.advise(f"source_ip_in: not a network: {given!r}")
            elif source.version == found.version and source in found:
                return True
        return False

    def from_gateway(self, group: str) -> bool:
        """Whether the source belongs to a gateway group; without gateways it never does."""
        return is_from(self._context.services.gateways, group, self._context.source[0])

    @property
    def vars(self) -> dict[str, Any]:  # noqa: A003
        """A dict kept with the transaction, seen by all its handlers in whichever worker."""
        context = self._context
        opened = context.opened
        return context.open_vars() if opened is None else opened

    @vars.setter  # noqa: A003
    def vars(self, values: dict[str, Any]) -> None:
        if not isinstance(values, dict):
            raise TypeError(f"vars is a dict, not {type(values).__name__}")
        mine = self.vars
        if values is not mine:
            values = dict(values)
            mine.clear()
            mine.update(values)

    # -- headers that need care

    def set_header(self, name: str, value: str) -> None:
        """One line replaces all of that name, at the first one's place; appended when absent."""
        super().set_header(name, value)
        if name.lower() in COPIED_IF_SET:
            self._copied = (self._copied or set()) | {name.lower()}

    def ensure_header(self, name: str, value: str) -> None:
        """Set a header only when it is absent."""
        if not self.has_header(name):
            self.set_header(name, value)

    def remove_from_header_list(self, name: str, value: str) -> None:
        """Remove the entries of a comma list that equal `value` (case ignored); an empty header goes."""
        if self.has_header(name):
            self._edit().remove_from_list(text.header_name(name), text.one_line(value, "value"))

    def add_path(self, uri: str | SipUri) -> None:
        """Put `<uri;lr>` on top of Path; a value that names us is signed."""
        value = route_value(uri)
        context = self._context
        signer = context.services.signer
        if signer is not None and context.identity.names_us(value.host, value.port or 0):
            token = signer.sign_path(value.user, value.host, value.port or 0)
            value.params["pts"] = token.decode() if isinstance(token, bytes) else token
        self._put_on_top("Path", f"<{value}>")

    def prepend_route(self, uri: str | SipUri) -> None:
        """Put `<uri;lr>` on top of Route."""
        self._put_on_top("Route", f"<{route_value(uri)}>")

    def _put_on_top(self, name: str, value: str) -> None:
        top = self.get_header(name)
        if top is None or first_address(top).strip() != value:
            self._edit().prepend(name, value)

    def fix_nated_contact(self) -> None:
        """Point the first Contact at the observed source."""
        self._contact_to(*self._context.source)

    def fix_nated_register(self) -> None:
        """Bindings saved from this request are called at the observed source, and the answer goes there too."""
        self._nat_register = True

    def generate_icid(self) -> str:
        """A new unique string."""
        return uuid.uuid4().hex

    # -- routes

    @property
    def route_user(self) -> str | None:
        """User part of the current top Route."""
        top = self.get_header("Route")
        if top is None:
            return None
        start, end, _ = uri_span(top)
        return SipUri.of(top[start:end]).user

    @property
    def consumed_routes(self) -> list[str]:
        """URIs that loose_route() accepted as ours, in order."""
        return list(self._context.consumed_routes if self._consumed is None else self._consumed)

    @property
    def consumed_route(self) -> SipUri | None:
        """The first of them."""
        routes = self.consumed_routes
        return SipUri.of(routes[0]) if routes else None

    @property
    def consumed_route_user(self) -> str | None:
        """User part of the first of them that has one."""
        return next((user for route in self.consumed_routes if (user := SipUri.of(route).user) is not None), None)

    def _route_loosely(self) -> bool:
        """The first loose_route() of a request whose Route is not the one that we have given it."""
        context = self._context
        message = self._message if self._draft is None else parsed(self._draft.to_bytes())
        found = self._loose = loose_route(RouteFacts.of(message), context.identity, context.services.signer)
        if found.consumed:
            self._consumed = list(found.consumed)
        if self._draft is not None:
            found.apply(self._draft)
        elif found.uri is not None or found.routes is not None:
            self._pending = found
        if found.uri is not None:
            self._uri, self._ruri = found.uri, None
        return found.accepted

    # -- for the runtime

    def _edit(self) -> Draft:
        draft = super()._edit()
        if self._pending is not None:
            self._pending.apply(draft)
            self._pending = None
        return draft

    def _first(self, name: str) -> bytes | None:
        if self._pending is not None and name.lower() == "route":
            self._edit()
        return super()._first(name)

    def _splices(self) -> Splices:
        """What the handlers changed, as edits of the message's bytes; [] when nothing.

        Consumed routes alone, which every request in a dialog has, need no draft.
        """
        if self._draft is not None:
            return self._draft.splices() if self._draft.changed else []
        found, message = self._pending, self._message
        splices: Splices = []
        if found is None:
            return splices
        if found is ALL_CONSUMED:
            return without_line(message, b"Route")
        if found.uri is not None:
            splices.append((message.uri_start, message.uri_end, found.uri))
        if found.routes is not None:
            kept = b"".join([b"Route: %b\r\n" % value for value in found.routes])
            line = message.find("Route")
            while line >= 0:
                start, _, _, end = message.span(line)
                splices.append((start, end, kept))
                kept, line = b"", message.find("Route", line + 1)
        return splices

    def _copy(self, phase: Phase) -> Request:
        """A fresh request for the next call of reply-time handlers: same message and facts, no edits."""
        copy = Request(self._message, self._context)
        copy._phase = phase
        return copy

    def _close(self) -> None:
        """The handlers have returned: arming is an error from now on. The live URI points back here: no cycle stays."""
        self._phase = Phase.CLOSED
        self._ruri = None

    # -- offered later or never

    rewrite_identities = unavailable("request.rewrite_identities")
    set_charging_param = unavailable("request.set_charging_param")
    charging_params = unavailable("request.charging_params")
    parse_security_client = unavailable("request.parse_security_client")
    is_ipsec_protected = unavailable("request.is_ipsec_protected")
    matched_sa = unavailable("request.matched_sa")
    add_pcscf_path = unavailable("request.add_pcscf_path")

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.ruri} from {self.source_ip}>"
