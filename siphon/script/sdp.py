"""The namespace `sdp`: a session description out of a message, and back into it (siphon/services/media/sdp.py)."""

from __future__ import annotations

from siphon.script.bodies import sdp_of, set_sdp
from siphon.script.message import Headers
from siphon.services.media.sdp import SessionDescription


class Sdp(SessionDescription):
    """A description that was parsed. The message it came from stays as it is until `apply`."""

    __slots__ = ()

    def apply(self, target: Headers) -> None:
        """Make this the description of a Request or Reply: the body, or of a body of several parts that part.
        Content-Type (of a body that is not multipart) and Content-Length follow."""
        set_sdp(target, bytes(self))


class SdpNamespace:
    """`from siphon import sdp`."""

    __slots__ = ()

    def parse(self, source: Headers | str | bytes) -> Sdp:
        """The description in a Request or Reply, a str or bytes. Anything is taken, however odd; ValueError where a
        message has no body, for bytes that are not UTF-8, and for more than a megabyte."""
        if isinstance(source, Headers):
            found = sdp_of(source)
            if found is None:
                raise ValueError("the message has no session description")
            source = found
        if isinstance(source, (bytes, bytearray, memoryview)):
            source = bytes(source).decode("utf-8")
        if not isinstance(source, str):
            raise TypeError(f"sdp.parse takes a Request, Reply, str or bytes, not {type(source).__name__}")
        return Sdp(source)

    def __repr__(self) -> str:
        return "<namespace sdp>"
