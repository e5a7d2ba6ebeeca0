"""Taking parts out of a sip or sips URI, or adding one, without touching the rest of its text.

In and out: a URI as bytes. What stays, stays as written: escapes, order and case. Nothing raises. Not for other
schemes.
"""

from urllib.parse import unquote_to_bytes


def without_parameters(uri: bytes, names: frozenset[bytes]) -> bytes:
    """The URI less the parameters of these (lower-case) names."""
    head, place, parameters, headers = _parts(uri)
    return _joined(head, place, _kept(parameters, names), headers)


def without_headers(uri: bytes) -> bytes:
    """The URI less `?headers`."""
    head, place, parameters, _ = _parts(uri)
    return _joined(head, place, parameters, b"")


def without_port(uri: bytes) -> bytes:
    """The URI less `:port`."""
    head, place, parameters, headers = _parts(uri)
    host = place[: place.find(b"]") + 1] if place.startswith(b"[") else place.partition(b":")[0]
    return _joined(head, host, parameters, headers)


def with_parameter(uri: bytes, parameter: bytes) -> bytes:
    """The URI with one more parameter, `name` or `name=value`, behind the others."""
    head, place, parameters, headers = _parts(uri)
    return _joined(head, place, [*parameters, parameter], headers)


def clean_target(uri: bytes) -> bytes:
    """The URI as a Request-URI may have it: without `?headers` and `method` (RFC 3261 §19.1.5). They never become
    anything else.

    A URI of another scheme comes back as it is.
    """
    if uri[:4].lower() != b"sip:" and uri[:5].lower() != b"sips:":
        return uri
    return without_parameters(without_headers(uri), frozenset((b"method",)))


def _parts(uri: bytes) -> tuple[bytes, bytes, list[bytes], bytes]:
    """`scheme:user@`, `host:port`, the parameters, `?headers`. The first @ ends the user part: none may stand in it."""
    scheme, colon, rest = uri.partition(b":")
    user, at, rest = rest.partition(b"@") if b"@" in rest else (b"", b"", rest)
    address, mark, headers = rest.partition(b"?")
    place, *parameters = address.split(b";")
    return scheme + colon + user + at, place, parameters, mark + headers


def _joined(head: bytes, place: bytes, parameters: list[bytes], headers: bytes) -> bytes:
    return head + b";".join((place, *parameters)) + headers


def _kept(parameters: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    return [text for text in parameters if unquote_to_bytes(text.partition(b"=")[0]).strip().lower() not in names]
