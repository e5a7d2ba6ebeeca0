"""Which hosts and ports are ours: listeners, what they advertise, and the domains we answer for.

Hosts are compared in their canonical form (see `hosts`); an absent port is 5060 (5061 for sips, by the caller).
Everything is worked out when it is made; asking costs a look-up in a set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from siphon.sip.hosts import bracketed, canonical_host

UNSPECIFIED = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket address we receive on. `advertise` is `host` or `host:port`, an IPv6 host in brackets if with a port."""

    index: int
    transport: str
    ip: str
    port: int
    advertise: str | None = None
    wildcard: bool = False


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host[:port]`; a bare IPv6 address has no port. ValueError for a port that is no number."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest[1:]) if rest.startswith(":") else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, int(port)
    return text, None


def _text(host: str | bytes) -> str:
    return host.decode("latin-1") if isinstance(host, bytes) else host


class Identity:
    def __init__(
        self,
        listeners: Iterable[Listener],
        advertised_address: str | None = None,
        domains: Iterable[str] = (),
        local_ips: Iterable[str] = (),
    ) -> None:
        self.listeners = tuple(listeners)
        self.advertised_address = advertised_address or None
        self.domains = frozenset(canonical_host(domain) for domain in domains)
        self.local_ips = frozenset(canonical_host(ip) for ip in local_ips)
        self._ours: dict[tuple[str, int], int] = {}
        for listener in self.listeners:  # what each is told by comes before what is as good for several
            if told := listener.advertise or self.advertised_address:
                host, port = split_host_port(told)
                self._ours.setdefault((canonical_host(host), port or listener.port), listener.index)
        for listener in self.listeners:
            for place in self._addresses(listener):
                self._ours.setdefault(place, listener.index)
        self._ports = frozenset(port for _, port in self._ours)

    def _addresses(self, listener: Listener) -> set[tuple[str, int]]:
        hosts = {canonical_host(listener.ip)}
        if listener.wildcard:
            v4 = ":" not in listener.ip
            hosts = {ip for ip in self.local_ips if (":" not in ip) == v4}
        found = {(host, listener.port) for host in hosts}
        for name in (listener.advertise, self.advertised_address):
            if name:
                host, port = split_host_port(name)
                found.add((canonical_host(host), port or listener.port))
        return found

    def is_local(self, host: str | bytes) -> bool:
        """Is the host one of our domains (`domain.local`)?"""
        return canonical_host(_text(host)) in self.domains

    def names_us(self, host: str | bytes, port: int | None, default_port: int = 5060) -> bool:
        """Would a request sent to host:port come back here? A domain of ours counts without a port too."""
        name = canonical_host(_text(host))
        if name in self.domains:
            return not port or port in self._ports
        return (name, port or default_port) in self._ours

    def listener_at(self, host: str | bytes, port: int | None) -> int | None:
        """The index of the listener that receives what is sent to host:port; None when that is not one of ours."""
        return self._ours.get((canonical_host(_text(host)), port or 5060))

    def listener(self, index: int, peer: str) -> Listener:
        """That of the index. Where an earlier configuration had more, and a record names one of those: the first of the
        family of `peer`, from which is sent instead."""
        if index < len(self.listeners):
            return self.listeners[index]
        same = (listener for listener in self.listeners if (":" in listener.ip) == (":" in peer))
        return next(same, self.listeners[0])

    def advertised(self, listener: Listener) -> str | None:
        """The `host[:port]` that we are known by where this listener sends; None: by the address that is used."""
        return listener.advertise or self.advertised_address

    def sent_by(self, listener: Listener, local_ip: str | None = None) -> str:
        """`host:port` for the Via and Record-Route of what leaves from this listener; on a wildcard listener the local
        address that is really used must be given."""
        name = self.advertised(listener)
        if name:
            host, port = split_host_port(name)
            return f"{bracketed(host)}:{port or listener.port}"
        ip = listener.ip
        if listener.wildcard:
            if not local_ip or local_ip in UNSPECIFIED:
                raise ValueError("a wildcard listener needs the local address that is used")
            ip = canonical_host(local_ip)
        return f"{bracketed(ip)}:{listener.port}"

    def known_by(self, listener: Listener, local_ip: str) -> str:
        """sent_by(), or "" of a wildcard listener from whose address nothing is known: one that stands in for another
        that is gone, and to whose peer there is no route."""
        if listener.wildcard and not local_ip and not self.advertised(listener):
            return ""
        return self.sent_by(listener, local_ip)

    def is_our_sent_by(self, host: str | bytes, port: int | None) -> bool:
        """Could this sent-by be one of ours?"""
        return (canonical_host(_text(host)), port or 5060) in self._ours
