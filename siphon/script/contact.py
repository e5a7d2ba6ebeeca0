"""Contact and Destination: what registrar look-ups and gateway selections give to scripts. Snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from siphon.script.context import Services
from siphon.script.flow import Flow, address, udp_flow
from siphon.script.outcome import TargetSpec
from siphon.services.location.binding import Binding

_SCHEMES = ("sip:", "sips:")
_OWN_PARAMS = ("+sip.instance", "reg-id")


class Contact:
    """A binding of an address of record, as it was at the look-up; `str()` is its URI."""

    __slots__ = ("_binding", "_elsewhere", "_services", "_wall", "uri")
    kind = "ue"

    def __init__(self, binding: Binding, services: Services, wall: float, *, elsewhere: bool = False) -> None:
        """`elsewhere`: this process has no sockets, so no binding is local to it."""
        self.uri = binding.uri
        self._elsewhere = elsewhere
        self._binding = binding
        self._services = services
        self._wall = wall

    @property
    def q(self) -> float:
        """Preference, 1.0 when the client gave none."""
        return self._binding.q

    @property
    def expires(self) -> int:
        """Remaining seconds."""
        return self._binding.remaining(self._wall)

    @property
    def age_secs(self) -> int:
        """Seconds since the last refresh."""
        return self._binding.age(self._wall)

    @property
    def received(self) -> str | None:
        """`sip:ip:port;transport=x` of the observed source of the REGISTER."""
        return f"sip:{address(*self._binding.source)};transport={self._binding.transport}"

    @property
    def path(self) -> list[str]:
        """The stored Path values."""
        return list(self._binding.path)

    @property
    def instance_id(self) -> str | None:
        """`+sip.instance` as sent, without its quotes."""
        sent = next((value for name, value in self._binding.params if name.lower() == _OWN_PARAMS[0]), None)
        return None if sent is None else sent.strip('"')

    @property
    def instance_epoch(self) -> str | None:
        """Start id of the instance that accepted the binding."""
        return self._binding.epoch or None

    @property
    def listener(self) -> int | None:
        """Index of the listener that the REGISTER came in on, None when this instance has it no more."""
        identity = self._services.identity
        return None if identity is None else _place(identity, self._binding.transport, self._binding.local)[0]

    @property
    def is_local(self) -> bool:
        """Whether the binding can be reached over `flow` from here; False in on_change."""
        if self._elsewhere:
            return False
        epoch = self._binding.epoch
        return self.listener is not None or (bool(epoch) and epoch == self._services.instance_id)

    @property
    def flow(self) -> Flow | None:
        """The captured flow."""
        found = self._binding
        return udp_flow(found.source, found.local) if found.transport == "udp" else None

    @property
    def flow_token(self) -> str | None:
        """The token given to save()."""
        return self._binding.flow_token

    @property
    def params(self) -> list[tuple[str, str | None]]:
        """Other Contact parameters, names in lower case."""
        pairs = [(name.lower(), value) for name, value in self._binding.params]
        return [pair for pair in pairs if pair[0] not in _OWN_PARAMS]

    def target(self) -> TargetSpec:
        """This binding as one entry of a fork: Path first, else its source when behind NAT, else its URI."""
        found = self._binding
        uri, identity = found.uri, self._services.identity
        listener, place = (None, None) if identity is None else _place(identity, found.transport, found.local)
        over_flow = found.behind_nat and not found.path and self.is_local
        flow = self.flow if over_flow else None
        return TargetSpec(  # by position: every fork makes some
            uri,
            found.path,
            found.source,
            over_flow,
            listener,
            place,
            found.q,
            None if flow is None else flow.spec(),
            None,
            True,
            uri.startswith(_SCHEMES) or uri[:5].lower().startswith(_SCHEMES),
        )

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Contact({self.uri!r}, q={self.q}, expires={self.expires})"


@lru_cache(maxsize=256)
def _place(identity: Any, transport: str, local: tuple[str, int]) -> tuple[int | None, str | None]:
    """The listener whose address a REGISTER was sent to, and that address; None for both where there is none now."""
    ip, port = local
    for listener in identity.listeners:
        if listener.port != port or str(listener.transport).lower() != transport:
            continue
        if listener.ip == ip or (listener.wildcard and (":" in listener.ip) == (":" in ip)):
            return listener.index, address(ip, port)
    return None, None


@dataclass(frozen=True, slots=True)
class Destination:
    """A gateway destination; `bool()` is its health."""

    uri: str
    address: str
    healthy: bool = True
    weight: int = 1
    priority: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.uri

    def __bool__(self) -> bool:
        return self.healthy
