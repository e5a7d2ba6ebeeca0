"""URIs, addresses and list values: text that a peer wrote, taken apart and printed."""

from __future__ import annotations

from contextlib import suppress

from fuzz.target import Check, Target, holds, stored_messages
from siphon.forwarding.next_hop import Hop, LocalFailure, next_hop
from siphon.sip.identity import Identity, Listener
from siphon.sip.message import PeerError, parse, split_list
from siphon.sip.uri import NameAddr, Uri, address_of_record, same_uri

OTHER = "sip:user@example.com"
US = Identity([Listener(0, "udp", "127.0.0.1", 5060)], domains=["example.com"])


def check(data: bytes) -> None:
    """The same bytes as a URI, as an address and as a list of them."""
    if len(data) > 2000:
        return
    check_uri(data)
    check_address(data)
    parts = split_list(data)
    holds(all(part == part.strip(b" \t\r\n") for part in parts), "entries of a list have no white space around them")
    for part in parts[:4]:
        check_address(part)


def check_uri(data: bytes) -> None:
    try:
        uri = Uri.parse(data)
    except ValueError:
        return
    printed = uri.to_bytes()
    holds(printed == data, "a URI prints back")
    holds(uri.copy().to_bytes() == data and Uri.parse(printed) == uri, "a copy is equal")
    holds(same_uri(uri, data), "a URI is the same as itself")
    holds(same_uri(data, OTHER) == same_uri(OTHER, data), "comparing goes both ways")
    address = address_of_record(uri)
    if uri.is_sip:
        holds(address_of_record(address) == address, "an address of record is its own")
    holds(isinstance(next_hop(None, [], data, US), Hop | LocalFailure), "a URI has a next hop or none")


def check_address(data: bytes) -> None:
    try:
        address = NameAddr.parse(data)
    except ValueError:
        return
    printed: bytes | None = None
    with suppress(ValueError):  # a NUL in a quoted pair is read and never written
        printed = address.to_bytes()
    if printed is None:
        return
    again = NameAddr.parse(printed)
    holds(again.to_bytes() == printed, "a printed address prints the same again")
    holds((again.uri, again.params, again.display) == (address.uri, address.params, address.display), "nothing is lost")


def seeds() -> list[bytes]:
    found: list[bytes] = []
    for raw in stored_messages():
        try:
            message = parse(raw)
        except PeerError as error:
            found.append(b"" if error.partial is None else error.partial.uri)
            continue
        except Exception:  # noqa: S112  (no message: nothing to take from it)
            continue
        found.append(message.uri)
        for name in ("From", "To", "Contact", "Route", "Record-Route"):
            found += [value for value in message.all_lines(name) if len(value) < 500]
    return sorted(set(found))


def make() -> Check:
    return check


TARGET = Target(
    "uri",
    "A URI or an address is refused with ValueError, or prints back what was read and equals itself.",
    make,
    seeds,
    400,
)
