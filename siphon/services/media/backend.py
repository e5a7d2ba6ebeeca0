"""What the protocols of media relays have in common: what they are asked, how they fail, and one relay as a process
sees it. The protocols are ng.py and rtpproxy.py; which relay a call goes to is decided in relays.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from siphon.config.media import is_place
from siphon.services.media.link import Link
from siphon.services.media.profiles import RECEIVED_FROM_SOURCE, Side


class MediaError(RuntimeError):
    """No media relay did what was asked."""


class Overloaded(MediaError):
    """The relay takes no new calls; another one may."""


@dataclass(frozen=True, slots=True)
class Description:
    """An offer or an answer on its way through a relay. `from_tag` is of who offers, `to_tag` of who answers; `source`
    is where the message came from; `ws_uri` a WebSocket that a relay which can is to stream to."""

    call_id: str
    from_tag: str
    to_tag: str | None
    sdp: bytes
    side: Side
    source: str | None = None
    ws_uri: str | None = None

    def received_from(self) -> tuple[str, str] | None:
        """(address family, address) that media is expected from, where that is asked for."""
        wanted = self.side.received_from
        if wanted is None or wanted is False or wanted == ():
            return None
        place = self.source if wanted in RECEIVED_FROM_SOURCE else wanted
        if not is_place(place):
            raise ValueError('received_from is an address, a pair of family and address, or "source"')
        address = place[-1] if isinstance(place, tuple) else str(place)
        return "IP6" if ":" in address else "IP4", address


class Relay:
    """One media relay. `healthy` says whether its last answer is newer than its last silence; `weight` 0: it keeps the
    calls that it has and gets no new ones."""

    def __init__(self, address: str, weight: int, link: Link) -> None:
        self.address = address
        self.weight = weight
        self.link = link
        self.healthy = True


class Backend(Protocol):
    """A protocol. Each method raises NoAnswer where the relay is silent, MediaError where it refuses."""

    async def ping(self, relay: Relay) -> bool: ...

    async def offer(self, relay: Relay, description: Description, patient: bool) -> bytes:
        """The description for the other side."""

    async def answer(self, relay: Relay, description: Description) -> bytes: ...

    async def delete(self, relay: Relay, call_id: str, from_tag: str, to_tag: str | None) -> None: ...

    async def command(self, relay: Relay, name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Another command, by its NG name; NotImplementedError where the protocol has none."""
