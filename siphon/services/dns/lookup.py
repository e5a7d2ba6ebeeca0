"""One look-up: from a hop to its servers (RFC 3263 §4).

  a port is named        addresses of the host
  a transport is named   SRV of _sip._udp, else addresses
  neither                NAPTR for SIP+D2U, else SRV of _sip._udp, else addresses at 5060

The hosts file comes before all of it. NAPTR and SRV are asked for at the same time; a question that is not answered
counts as one without records, and what was found then is kept for a short time only. The work is bounded: SERVERS
targets, ADDRESSES of each, and the time: a question about a service gets half of what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from siphon.forwarding.next_hop import Hop
from siphon.services.dns.ares import Addresses, DnsFault
from siphon.services.dns.order import Address, Draw, Naptr, Server, Srv, by_priority, over_udp

SERVERS = 8
ADDRESSES = 8
REPLACEMENTS = 2
"""NAPTR records that are followed."""
NAME_BYTES = 253
FILES_SECS = 5.0
NOTHING_SECS = 10.0
"""A name without addresses. c-ares does not hand out the SOA record that would say it."""
FAULT_SECS = 2.0
"""Nobody answered."""
PARTIAL_SECS = 30.0
"""At most this long, when a part of the questions was not answered."""

R = TypeVar("R")


class Asker(Protocol):
    """Who answers single questions; raises DnsFault."""

    async def naptr(self, name: str) -> tuple[list[Naptr], float]: ...
    async def srv(self, name: str) -> tuple[list[Srv], float]: ...
    async def addresses(self, name: str, family: int) -> Addresses: ...


class Files(Protocol):
    """What goes before DNS."""

    def addresses(self, name: str, family: int) -> list[str]: ...


class Answer(NamedTuple):
    """The servers of a hop, none when it does not resolve, and for how many seconds that holds. `faulty`: somebody did
    not answer, so this may not be all."""

    servers: tuple[Server, ...]
    ttl: float
    faulty: bool = False


class LookUp:
    """One look-up. `families` are 4 and 6 in the order wanted, `until` is when it must be over, by `clock`."""

    def __init__(
        self,
        asker: Asker,
        files: Files,
        families: Sequence[int],
        draw: Draw,
        clock: Callable[[], float],
        until: float,
    ) -> None:
        self._asker = asker
        self._files = files
        self._families = families
        self._draw = draw
        self._clock = clock
        self._until = until
        self._ttls: list[float] = []
        self._faults = 0

    async def run(self, hop: Hop) -> Answer:
        """The answer, in time."""
        host = hop.host.rstrip(".")
        if not host or len(host) > NAME_BYTES:
            return Answer((), NOTHING_SECS)
        listed = [ip for family in self._families for ip in self._files.addresses(host, family)]
        if listed:
            return Answer((_server(listed, hop.port or 5060),), FILES_SECS)
        servers = None if hop.port else await self._service(host, hop.transport_named)
        if servers is None:
            servers = [_server(await self._addresses(host), hop.port or 5060)]
        return self._answer([server for server in servers if server.addresses])

    def _answer(self, servers: list[Server]) -> Answer:
        faulty = self._faults > 0
        if not servers:
            return Answer((), FAULT_SECS if faulty else NOTHING_SECS, faulty)
        ttl = min(self._ttls)
        return Answer(tuple(servers), min(ttl, PARTIAL_SECS) if faulty else ttl, faulty)

    async def _service(self, host: str, named: bool) -> list[Server] | None:
        """The servers that NAPTR or SRV name; None: neither exists, so the host itself is the server."""
        direct = f"_sip._udp.{host}"
        srv = self._ask(self._asker.srv(direct), share=2)
        if named:
            return await self._servers(await srv)
        naptrs, srvs = await asyncio.gather(self._ask(self._asker.naptr(host), share=2), srv)
        for naptr in over_udp(naptrs)[:REPLACEMENTS]:
            servers = await self._replacement(naptr, direct, srvs)
            if servers and any(server.addresses for server in servers):
                return servers
        return await self._servers(srvs)

    async def _replacement(self, naptr: Naptr, direct: str, srvs: list[Srv]) -> list[Server] | None:
        if naptr.flags.lower() == "a":
            return [_server(await self._addresses(naptr.replacement), 5060)]
        if naptr.replacement == direct:
            return await self._servers(srvs)
        return await self._servers(await self._ask(self._asker.srv(naptr.replacement), share=2))

    async def _servers(self, srvs: list[Srv]) -> list[Server] | None:
        if not srvs:
            return None
        chosen = [srv for srv in by_priority(srvs, self._draw)[:SERVERS] if srv.target and srv.port]
        found = await asyncio.gather(*(self._addresses(srv.target) for srv in chosen))
        return [
            Server(srv.priority, srv.weight, tuple((ip, srv.port) for ip in ips))
            for srv, ips in zip(chosen, found, strict=True)
        ]

    async def _addresses(self, host: str) -> list[str]:
        asked = (self._ask(self._one_family(host, family)) for family in self._families)
        return [ip for ips in await asyncio.gather(*asked) for ip in ips][:ADDRESSES]

    async def _one_family(self, host: str, family: int) -> tuple[list[str], float]:
        found = await self._asker.addresses(host, family)
        return list(found.ips), found.ttl

    async def _ask(self, question: Awaitable[tuple[list[R], float]], share: int = 1) -> list[R]:
        """The records, none when nobody answers within this question's share of the time that is left."""
        try:
            records, ttl = await asyncio.wait_for(question, (self._until - self._clock()) / share)
        except (DnsFault, TimeoutError):
            self._faults += 1
            return []
        if records:
            self._ttls.append(ttl)
        return records


def _server(ips: Sequence[str], port: int) -> Server:
    addresses: tuple[Address, ...] = tuple((ip, port) for ip in ips[:ADDRESSES])
    return Server(0, 0, addresses)
