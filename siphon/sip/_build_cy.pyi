from collections.abc import Sequence

from siphon.sip._message_cy import SipMessage

def response(
    request: SipMessage,
    status: int,
    reason: bytes | str,
    to_tag: bytes | None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    server: str | None = None,
) -> bytes: ...
def ack_for(invite: SipMessage, response: SipMessage) -> bytes: ...
def cancel_for(invite: SipMessage, reason_lines: Sequence[bytes] = ()) -> bytes: ...
