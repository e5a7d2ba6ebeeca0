"""The Record-Route and Path values that we put into a request (RFC 3261 §16.6 item 4, RFC 3327, RFC 5658).

In: `host:port` as a Via of ours bears it, or a URI that the script gave. Out: header values as bytes. Nothing
raises: the values are ours.
"""

from siphon.forwarding.routes import PATH_TOKEN, names_us, port_of, token_of
from siphon.forwarding.signer import RouteSigner
from siphon.forwarding.trim import with_parameter
from siphon.sip.identity import Identity, split_host_port
from siphon.sip.uri import Uri


def record_route_value(sent_by: str, call_id: bytes, signer: RouteSigner | None, transport: str = "udp") -> bytes:
    """One Record-Route value of ours. `sent_by` is the `host:port` of our Via; the transport is named only when it is
    not UDP.
    """
    host, port = split_host_port(sent_by)
    token = b"" if signer is None else b";rrs=" + signer.sign_record_route(call_id, host, port or 0)
    named = b"" if transport.lower() == "udp" else b";transport=" + transport.lower().encode()
    return b"<sip:%b;lr%b%b>" % (sent_by.encode(), named, token)


def record_routes(receiving: str, sending: str, call_id: bytes, signer: RouteSigner | None) -> list[bytes]:
    """Our Record-Route values, topmost first: the sending side's, and the receiving side's below it when it is
    another (RFC 5658 §5).

    Both are the `host:port` that a Via of ours would bear on that side.
    """
    values = [record_route_value(sending, call_id, signer)]
    if receiving != sending:
        values.append(record_route_value(receiving, call_id, signer))
    return values


def path_value(uri: Uri, identity: Identity, signer: RouteSigner | None) -> bytes:
    """`<uri;lr>` for a Path or Route header; signed when it names us, unless it bears a token already."""
    text = uri.to_bytes()
    if not uri.has_param("lr"):
        text = with_parameter(text, b"lr")
    if signer is not None and names_us(uri, identity) and not token_of(uri, PATH_TOKEN):
        text = with_parameter(text, b"pts=" + signer.sign_path(uri.user, uri.host, port_of(uri)))
    return b"<%b>" % text
