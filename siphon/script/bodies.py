"""The session description of a message: its body, or the part of it that is one."""

from __future__ import annotations

from siphon.script.message import Headers
from siphon.services.media.multipart import is_multipart, sdp_span

SDP = "application/sdp"


def sdp_of(message: Headers) -> bytes | None:
    """The description; None for no body, or one of several parts none of which is a description. A body whose type is
    something else is taken as it is: who asks for a description knows why."""
    body = message.body
    kind = message.content_type or SDP
    if body is None or not is_multipart(kind):
        return body
    span = sdp_span(kind, body)
    return None if span is None else body[span[0] : span[1]]


def is_described(message: Headers) -> bool:
    """Whether the type of its body says that a description is there, or in one of its parts; so does no type."""
    kind = message.content_type or SDP
    return is_multipart(kind) or kind.partition(";")[0].strip().lower() == SDP


def set_sdp(message: Headers, description: bytes) -> None:
    """Replace what sdp_of gives; without that the description becomes the body."""
    if not isinstance(message, Headers):
        raise TypeError(f"a Request or Reply is needed, not {type(message).__name__}")
    body, kind = message.body, message.content_type or SDP
    span = sdp_span(kind, body) if body is not None and is_multipart(kind) else None
    if span is None or body is None:
        message.set_body(description, SDP)
    else:
        message.set_body(body[: span[0]] + description + body[span[1] :])
