"""Edits of a message as a script makes them, on a message of a peer's and with values of a peer's."""

from __future__ import annotations

from fuzz.target import Check, Target, holds, stored_messages
from siphon.sip.draft import Draft
from siphon.sip.message import BadResponse, NotSip, ParseLimits, PeerError, SipMessage, parse
from siphon.sip.splices import apply_splices, diff_splices, pack_splices, unpack_splices

LIMITS = ParseLimits(65535, 65535, 1024, 1024)
NAMES = ("Subject", "Route", "Contact", "v", "X-New", "Content-Length", "Supported", "t")
SEPARATOR = b"\x00\x01"
FRAME = (0, 1, 2, 3, 5, 9, 40, 300)


def check(data: bytes) -> None:
    """A message, the separator, and the program of the edits: a byte for what, one for which name, and a value."""
    raw, _, program = data.partition(SEPARATOR)
    check_packed(raw, program)
    try:
        message = parse(raw, LIMITS)
    except (NotSip, BadResponse, PeerError):
        return
    draft = Draft(message)
    for step in program.split(SEPARATOR)[:6]:
        edit(draft, step)
    check_draft(draft, message)


def edit(draft: Draft, step: bytes) -> None:
    """One edit; what is refused changes nothing."""
    what, name, value = step[:1], NAMES[(step[1] if len(step) > 1 else 0) % len(NAMES)], step[2:]
    before = draft.to_bytes()
    try:
        if what == b"s":
            draft.set(name, value)
        elif what == b"a":
            draft.append(name, value)
        elif what == b"p":
            draft.prepend(name, value)
        elif what == b"l":
            draft.remove_from_list(name, value)
        elif what == b"u":
            draft.set_uri(value)
        elif what == b"b":
            draft.set_body(value, "text/plain")
        elif what == b"n":
            draft.set(value, "x")
        else:
            draft.remove(name)
    except ValueError:
        holds(draft.to_bytes() == before, "a refused edit changes nothing")


def check_draft(draft: Draft, message: SipMessage) -> None:
    """What left is one message with the lines of the draft, in both forms."""
    edited, splices = draft.to_bytes(), draft.splices()
    holds(apply_splices(message.raw, unpack_splices(pack_splices(splices))) == edited, "splices are the edit")
    holds(apply_splices(message.raw, diff_splices(message.raw, edited)) == edited, "the difference is the edit")
    head, _, body = edited.partition(b"\r\n\r\n")
    holds(body == draft.body, "the body is the draft's")
    values = [(name, value) for name, value in draft.lines() if name != "content-length"]
    lines = [line for line in unfolded(head).split(b"\r\n")[1:] if line]
    holds(
        len(lines) <= len(values) + 1 + sum(1 for name, _ in draft.lines() if name == "content-length"), "no new line"
    )


def unfolded(head: bytes) -> bytes:
    return head.replace(b"\r\n ", b"  ").replace(b"\r\n\t", b"  ")


def check_packed(raw: bytes, packed: bytes) -> None:
    """Packed splices may be damaged, and need not be of this message."""
    try:
        splices = unpack_splices(packed)
        applied = apply_splices(raw, splices)
    except ValueError:
        return
    size = len(raw) + sum(len(text) - (end - start) for start, end, text in splices)
    holds(len(applied) == size, "as long as its parts")


def seeds() -> list[bytes]:
    raw = [data for data in stored_messages() if len(data) < 1200][::5]
    programs = (
        (b"s\x00changed", b"r\x01", b"a\x02<sip:x@h>"),
        (b"p\x03SIP/2.0/UDP h;branch=z9hG4bKa", b"l\x06gruu", b"usip:new@h"),
        (b"bbody", b"nX-Name", b"s\x05" + b"7"),
        (b"s\x00bad\r\nvalue", b"u", b"r\x05"),
    )
    edits = [SEPARATOR.join((data, *programs[i % len(programs)])) for i, data in enumerate(raw)]
    packed = pack_splices([(0, 3, b"abc"), (4, 4, b""), (7, 30, b"long" * 9)])
    return [*edits, raw[0] + SEPARATOR + packed]


def make() -> Check:
    return check


TARGET = Target(
    "edits",
    "An edit is refused whole or leaves one message, the same in all its forms; splices stay inside theirs.",
    make,
    seeds,
    1500,
)
