"""Whether the `uri` of digest credentials is the Request-URI (RFC 3261 §22.4 item 5).

User, host and port must agree, defaults filled in; parameters and headers are ignored, since proxies between may have
changed them. Escapes are decoded for the comparison, IPv6 addresses are compared as numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from siphon.sip.hosts import canonical_host
from siphon.sip.uri import Uri

_DEFAULT_PORT = {"sip": 5060, "sips": 5061}


def same_target(uri: bytes, request_uri: bytes, is_local: Callable[[str], bool] | None) -> bool:
    """Whether the two agree; with `is_local` a `uri` whose host is local agrees with anything."""
    if uri == request_uri:
        return True
    try:
        named = Uri.parse(uri)
    except ValueError:
        return False
    if is_local is not None and is_local(named.host):
        return True
    try:
        return _target(named) == _target(Uri.parse(request_uri))
    except ValueError:
        return False


def _target(uri: Uri) -> tuple[bytes | None, str, int | None]:
    user = None if uri.user is None else unquote_to_bytes(uri.user)
    return user, canonical_host(uri.host), uri.port or _DEFAULT_PORT.get(uri.scheme.lower())
