"""Messages and names for the tests of the forwarding core: P is 192.0.2.1, responsible for example.com."""

from collections.abc import Sequence

from siphon.sip.identity import Identity, Listener
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import Splices, apply_splices

IDENTITY = Identity([Listener(0, "udp", "192.0.2.1", 5060, None, False)], None, ["example.com"], ["192.0.2.1"])
KEY = b"k" * 32
VIA = "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKabc"
CONTACT = "<sip:alice@198.51.100.7:5070>"


def request(
    method: str = "INVITE",
    uri: str = "sip:bob@example.com",
    headers: Sequence[str] = (),
    *,
    vias: Sequence[str] = (VIA,),
    sender: str = "<sip:alice@example.com>;tag=from1",
    to: str = "<sip:bob@example.com>",
    call_id: str = "call-1",
    cseq: int = 1,
    max_forwards: str | None = "70",
    length: bool = True,
    body: bytes = b"",
) -> SipMessage:
    """A parsed request; `headers` are whole lines between Max-Forwards and Content-Length."""
    lines = [f"{method} {uri} SIP/2.0", *(f"Via: {via}" for via in vias)]
    lines += [f"From: {sender}", f"To: {to}", f"Call-ID: {call_id}", f"CSeq: {cseq} {method}"]
    lines += [] if max_forwards is None else [f"Max-Forwards: {max_forwards}"]
    lines += headers
    lines += [f"Content-Length: {len(body)}"] if length else []
    return parse("\r\n".join([*lines, "", ""]).encode() + body)


def response(status: int, reason: str = "Reason", headers: Sequence[str] = ()) -> bytes:
    """The bytes of a response to request(), our Via already gone."""
    lines = [f"SIP/2.0 {status} {reason}", f"Via: {VIA}", "From: <sip:alice@example.com>;tag=from1"]
    lines += ["To: <sip:bob@example.com>;tag=to1", "Call-ID: call-1", "CSeq: 1 INVITE", *headers, "Content-Length: 0"]
    return "\r\n".join([*lines, "", ""]).encode()


def spliced(message: SipMessage, splices: Splices) -> SipMessage:
    """The message that the splices make."""
    return parse(apply_splices(message.raw, splices))
