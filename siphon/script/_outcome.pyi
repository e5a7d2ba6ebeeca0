from typing import Any

from siphon.script.outcome import Action, Answer, Edit
from siphon.sip.message import SipMessage
from siphon.state.store import Wait

class Outcome:
    action: Action | None
    provisionals: list[Answer]
    reply_edits: list[Edit]
    reply_body: bytes | None
    reply_to_tag: str | None
    message: bytes
    edited: bool
    parsed: SipMessage | None
    splices: list[tuple[int, int, bytes]]
    record_route: bool
    vars: dict[str, Any]
    vars_bytes: bytes
    auth_user: str | None
    consumed_routes: list[str]
    error: BaseException | None
    uri_set: bool
    answer_to_source: bool
    route_unsigned: bool
    auth_failures: int
    confirms: list[tuple[Wait, Answer]]
    def __init__(self, action: Action | None = None, *, error: BaseException | None = None) -> None: ...
