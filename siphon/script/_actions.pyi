from typing import Any, final

from siphon.script.outcome import FlowSpec, ViaOverride

@final
class TargetSpec:
    uri: str
    path: tuple[str, ...]
    received: tuple[str, int] | None
    via_source: bool
    listener: int | None
    local_addr: str | None
    q: float
    flow: FlowSpec | None
    address: str | None
    is_contact: bool
    valid: bool
    def __init__(
        self,
        uri: str,
        path: tuple[str, ...] = (),
        received: tuple[str, int] | None = None,
        via_source: bool = False,
        listener: int | None = None,
        local_addr: str | None = None,
        q: float = 1.0,
        flow: FlowSpec | None = None,
        address: str | None = None,
        is_contact: bool = False,
        valid: bool = True,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...

@final
class Relay:
    next_hop: str | None
    flow: FlowSpec | None
    send_socket: str | None
    via_override: ViaOverride | None
    on_reply: str | None
    on_failure: str | None
    timeout: float | None
    address: str | None
    def __init__(
        self,
        next_hop: str | None = None,
        flow: FlowSpec | None = None,
        send_socket: str | None = None,
        via_override: ViaOverride | None = None,
        on_reply: str | None = None,
        on_failure: str | None = None,
        timeout: float | None = None,
        address: str | None = None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...

@final
class Fork:
    targets: list[TargetSpec]
    strategy: str
    send_socket: str | None
    on_reply: str | None
    on_failure: str | None
    timeout: float | None
    def __init__(
        self,
        targets: list[TargetSpec],
        strategy: str = "parallel",
        send_socket: str | None = None,
        on_reply: str | None = None,
        on_failure: str | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...

@final
class Answer:
    status: int
    reason: str
    reliable: bool
    stateless: bool
    headers: list[tuple[str, str]]
    body: bytes
    content_type: str | None
    later: Any
    def __init__(
        self,
        status: int,
        reason: str,
        reliable: bool = False,
        stateless: bool = False,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        content_type: str | None = None,
        later: Any = None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
