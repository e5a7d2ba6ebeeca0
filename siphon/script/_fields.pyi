from collections.abc import Callable, Iterable
from typing import Any

from siphon.forwarding.routes import LooseRoute
from siphon.script.contact import Contact, Destination
from siphon.script.context import Services
from siphon.script.flow import Flow
from siphon.script.loader import Script
from siphon.script.outcome import Action, Answer, Edit, ViaOverride
from siphon.script.phase import Phase
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.uri import SipUri
from siphon.sip.draft import Draft
from siphon.sip.message import SipMessage
from siphon.state.store import Wait

class RequestContext:
    source: tuple[str, int]
    listener: Any
    local_ip: str
    transaction_id: bytes
    identity: Any
    settings: Any
    services: Services
    now: float
    wall: float
    began: float
    vars: dict[str, Any] | bytes
    auth_user: str | None
    consumed_routes: list[str]
    record_route: bool
    dialog_known: bool
    uri_received: bytes | None
    secrets: Any
    script: Script | None
    opened: dict[str, Any] | None
    packed: bytes
    armed: int
    def __init__(
        self,
        source: tuple[str, int],
        listener: Any = None,
        local_ip: str = "",
        transaction_id: bytes = b"",
        identity: Any = None,
        settings: Any = None,
        services: Services | None = None,
        now: float = 0.0,
        wall: float = 0.0,
        vars: dict[str, Any] | bytes = b"",  # noqa: A002
        auth_user: str | None = None,
        consumed_routes: list[str] | None = None,
        record_route: bool = False,
        dialog_known: bool = False,
        uri_received: bytes | None = None,
        secrets: Any = None,
    ) -> None: ...
    def open_vars(self) -> dict[str, Any]: ...
    def drop_vars(self) -> None: ...
    def vars_limit(self) -> int | None: ...
    def vars_changes(self) -> tuple[dict[str, Any], list[str]]: ...

class MessageFields:
    _message: SipMessage
    _draft: Draft | None
    _body: bytes | None
    def get_header(self, name: str) -> str | None: ...
    def has_header(self, name: str) -> bool: ...
    @property
    def body(self) -> bytes | None: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def from_uri(self) -> SipUri | None: ...
    @property
    def to_uri(self) -> SipUri | None: ...
    @property
    def call_id(self) -> str | None: ...

class RequestFields(MessageFields):
    _action: Action | None
    _armed_at: int
    _context: RequestContext
    _copied: set[str] | None
    _phase: Phase
    _record_route: bool
    _reply_body: bytes | None
    _reply_edits: list[Edit] | None
    _reply_to_tag: str | None
    _via: ViaOverride | None
    _auth_user: str | None
    _consumed: list[str] | None
    _loose: LooseRoute | None
    _nat_register: bool
    _pending: LooseRoute | None
    _ruri: SipUri | None
    _uri: bytes | None
    _uri_set: bool
    _auth_failures: int
    _confirms: list[tuple[Wait, Answer]]
    def __init__(self, message: SipMessage, context: RequestContext) -> None: ...
    def _may_arm(self, what: str) -> bool: ...
    def _arm(self, action: Action) -> None: ...
    def record_route(self) -> None: ...
    def relay(
        self,
        next_hop: str | SipUri | Destination | None = None,
        on_reply: Callable[[Request, Reply], Any] | None = None,
        on_failure: Callable[[Request, int, str], Any] | None = None,
        flow: Flow | None = None,
        send_socket: str | None = None,
        *,
        timeout: float | None = None,
    ) -> None: ...
    def fork(
        self,
        targets: Iterable[str | SipUri | Contact | Destination],
        strategy: str = "parallel",
        send_socket: str | None = None,
        *,
        on_reply: Callable[[Request, Reply], Any] | None = None,
        on_failure: Callable[[Request, int, str], Any] | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def loose_route(self) -> bool: ...
    @property
    def method(self) -> str: ...
    @property
    def ruri(self) -> SipUri: ...
    @ruri.setter
    def ruri(self, uri: str | SipUri) -> None: ...
    @property
    def user_agent(self) -> str | None: ...
    @property
    def event(self) -> str | None: ...
    @property
    def auth_user(self) -> str | None: ...
    @auth_user.setter
    def auth_user(self, user: str | None) -> None: ...
    @property
    def from_tag(self) -> str | None: ...
    @property
    def to_tag(self) -> str | None: ...
    @property
    def in_dialog(self) -> bool: ...
    @property
    def cseq(self) -> tuple[int, str] | None: ...
    @property
    def max_forwards(self) -> int: ...
    @property
    def source_ip(self) -> str: ...
    @property
    def source_port(self) -> int: ...
    @property
    def transport(self) -> str: ...

class Checks:
    def sanity_check(self, request: Request) -> bool: ...
