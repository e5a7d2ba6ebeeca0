"""Contact and Destination: what registrar look-ups and gateway selections give to scripts. Snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from siphon.script.flow import Flow
from siphon.script.outcome import TargetSpec


class Contact:
    """A binding of an address of record, as it was at the look-up."""

    __slots__ = (
        "age_secs",
        "behind_nat",
        "expires",
        "flow",
        "flow_token",
        "instance_epoch",
        "instance_id",
        "is_local",
        "listener",
        "params",
        "path",
        "q",
        "received",
        "received_address",
        "uri",
    )
    kind = "ue"

    def __init__(
        self,
        uri: str,
        *,
        q: float = 1.0,
        expires: int = 0,
        age_secs: int = 0,
        received_address: tuple[str, int] | None = None,
        received: str | None = None,
        path: list[str] | None = None,
        instance_id: str | None = None,
        instance_epoch: str | None = None,
        is_local: bool = False,
        flow: Flow | None = None,
        flow_token: str | None = None,
        params: list[tuple[str, str | None]] | None = None,
        behind_nat: bool = False,
        listener: int | None = None,
    ) -> None:
        self.uri = uri
        self.q = q
        self.expires = expires
        self.age_secs = age_secs
        self.received_address = received_address
        self.received = received
        self.path = path or []
        self.instance_id = instance_id
        self.instance_epoch = instance_epoch
        self.is_local = is_local
        self.flow = flow
        self.flow_token = flow_token
        self.params = params or []
        self.behind_nat = behind_nat
        self.listener = listener

    def target(self) -> TargetSpec:
        """This binding as one entry of a fork: Path first, else its source when behind NAT, else its URI."""
        stream = self.flow is not None and self.flow.transport != "udp"
        over_flow = self.is_local and not self.path and (self.behind_nat or stream)
        return TargetSpec(
            uri=self.uri,
            path=tuple(self.path),
            received=self.received_address,
            via_source=over_flow and self.received_address is not None,
            listener=self.listener,
            local_addr=self.flow.local_addr if self.flow is not None else None,
            q=self.q,
            flow=self.flow.spec() if over_flow and self.flow is not None else None,
            is_contact=True,
            valid=self.uri[:5].lower() == "sips:" or self.uri[:4].lower() == "sip:",
        )

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Contact({self.uri!r}, q={self.q}, expires={self.expires})"


@dataclass(frozen=True, slots=True)
class Destination:
    """A gateway destination; `bool()` is its health."""

    uri: str
    address: str
    healthy: bool = True
    weight: int = 1
    priority: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def target(self) -> TargetSpec:
        """This destination as one entry of a fork: its URI, sent to its configured address."""
        return TargetSpec(uri=self.uri, address=self.address or None)

    def __str__(self) -> str:
        return self.uri

    def __bool__(self) -> bool:
        return self.healthy
