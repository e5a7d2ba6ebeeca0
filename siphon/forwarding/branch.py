"""Names of transactions: the id of a server transaction, the branch we put in our Via, the To tag we make, the loop
value.

In: received messages (after `stamp_source` or before, the result is the same) and keys of 16 to 64 bytes that all
workers share. Out: bytes. Nothing raises on what a peer sends; a wrong key length or an index over 16 bits is a
ValueError.

  transaction id   keyed blake2b-128 of what RFC 3261 §17.2.3 matches on. ACK and CANCEL get the id of their INVITE.
  branch           z9hG4bK + id (32 hex digits) + salt (8) + index (4) + loop value (8), lower case. So a response
                   carries the key of its record.
  To tag           the id enciphered by a Feistel network: ACK and PRACK lead back to the record by it.
  loop value       RFC 5393 §4.2.1: a keyed hash of what routing depends on, in the request as received.

Known to be imperfect: under the rules of RFC 2543 the To tag is not part of the id, since the ACK has one and its
INVITE had none; who loads the record compares it.
"""

import re
from binascii import Error as HexError
from binascii import hexlify, unhexlify
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from siphon.sip._blake import Cipher
from siphon.sip.identity import Identity
from siphon.sip.message import SipMessage, Via

COOKIE = b"z9hG4bK"
BRANCH_LENGTH = 59
TAG_LENGTH = 32
_COOKIE_LOWER = COOKIE.lower()
_OF_THE_INVITE = frozenset(("ACK", "CANCEL"))
_NON_INVITE = (
    *("OPTIONS", "REGISTER", "MESSAGE", "BYE", "SUBSCRIBE", "NOTIFY", "INFO", "UPDATE", "PRACK"),
    *("REFER", "PUBLISH"),
)
_DEFAULT_PORT = {"TLS": 5061, "WSS": 443, "WS": 80}
_BRANCH_PARAMETER = re.compile(rb";\s*branch\s*=\s*([^\s;,]+)", re.IGNORECASE)
_WORD = rb"\s*[^\s/;]+\s*"
_SENT_BY = re.compile(_WORD + rb"/" + _WORD + rb"/\s*[^\s/;]+\s+(\[[^\]]*\]|[^\s;:]+)\s*(?::\s*([0-9]{1,5}))?")
_ROUTING_INPUT = ("Route", "Proxy-Require", "Proxy-Authorization", "Authorization")
_HAS_MARK = re.compile(rb"\n[XxPp]-")
_MARK = re.compile(rb"^([xp]-[^:\s]*)[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


class Branch(NamedTuple):
    """What our own branch says: the record's key (16 bytes), its salt, the branch index, the loop value (8 hex
    digits).
    """

    transaction: bytes
    salt: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants of a branch
    loop: bytes


def matched_by_2543_rules(message: SipMessage) -> bool:
    """No magic cookie, or nothing behind it (RFC 4475 §3.2.1): the To tag is then to be compared after the record is
    loaded.
    """
    return not message.via.has_cookie


def transaction_id(message: SipMessage, key: bytes) -> bytes:
    """16 bytes: the id of the server transaction (RFC 3261 §17.2.3). An ACK or CANCEL gets the id of the INVITE it
    speaks of.

    An absent sent-by port is the transport's default, so `host` and `host:5060` are one sender.
    """
    method = message.method
    return _identify(message, "INVITE" if method in _OF_THE_INVITE else method, key)


def cancel_id(message: SipMessage, key: bytes) -> bytes:
    """16 bytes: the id of the CANCEL's own transaction, which is never that of its INVITE."""
    return _identify(message, "CANCEL", key)


def non_invite_ids(message: SipMessage, key: bytes) -> Iterator[bytes]:
    """The ids that requests of other methods have by the branch of a CANCEL (RFC 3261 §9.2: it changes nothing for
    them).
    """
    return (_identify(message, method, key) for method in _NON_INVITE)


def _identify(message: SipMessage, method: str, key: bytes) -> bytes:
    via = message.via
    if not via.has_cookie:
        facts = _facts_of_2543(message, method)
    else:
        # The branch comes last: whatever bytes it holds, no two sets of fields give the same text.
        facts = b"%b\0%b\0%d\0%b" % (method.encode(), via.host.lower(), sent_by_port(via), via.branch.lower())
    return blake2b(facts, digest_size=16, key=key).digest()


def sent_by_port(via: Via) -> int:
    """The port of the sent-by, the transport's default where it names none (RFC 3261 §18.2.2)."""
    return via.port or _DEFAULT_PORT.get(via.transport, 5060)


def _facts_of_2543(message: SipMessage, method: str) -> bytes:
    """Request-URI, From tag, Call-ID, CSeq number and the whole top Via less what the receiver wrote there (RFC 3261
    §17.2.3).
    """
    sender = message.from_tag.lower() if message.from_tag is not None else message.from_value
    fields = (message.uri, sender, message.call_id, b"%d" % message.cseq, _as_sent(message))
    return b"2543\0" + method.encode() + b"".join(b"\0%d:%b" % (len(field), field) for field in fields)


def _as_sent(message: SipMessage) -> bytes:
    """The top Via value without `received` and `rport`, spaces taken out, lower case."""
    sent, *parameters = b"".join(message.values("Via")[0].lower().split()).split(b";")
    ours = (b"received", b"rport")
    return b";".join([sent, *(p for p in parameters if p.partition(b"=")[0] not in ours)])


# -- branches that we make -------------------------------------------------------------------------------------------


def branch_token(transaction: bytes, salt: int, index: int, loop: bytes) -> bytes:
    """The branch parameter of our Via, 59 bytes. `salt` has 32 bits, `index` 16; `loop` is a loop_value()."""
    if len(transaction) != 16 or len(loop) != 8 or not (0 <= salt <= 0xFFFFFFFF and 0 <= index <= 0xFFFF):
        raise ValueError("a branch is made of a 16-byte id, a 32-bit salt, a 16-bit index and 8 hex digits")
    return b"%b%b%08x%04x%b" % (COOKIE, hexlify(transaction), salt, index, loop)


def parse_branch(branch: bytes) -> Branch | None:
    """What branch_token() wrote, whatever the case of its letters (tokens: RFC 3261 §7.3.1); None for anybody else's
    branch.
    """
    if len(branch) != BRANCH_LENGTH or branch[:7].lower() != _COOKIE_LOWER:
        return None
    try:
        packed = unhexlify(branch[7:])
    except HexError:
        return None
    return Branch(packed[:16], int.from_bytes(packed[16:20]), int.from_bytes(packed[20:22]), hexlify(packed[22:]))


# -- To tags that we make --------------------------------------------------------------------------------------------


def to_tag(transaction: bytes, key: bytes) -> bytes:
    """32 hex digits: the id, enciphered. The same for all responses to one request, and nobody can tell the branch
    from it.
    """
    if len(transaction) != 16:
        raise ValueError("a transaction id has 16 bytes")
    return hexlify(_cipher(key).encipher(transaction))


def transaction_of_tag(tag: bytes, key: bytes) -> bytes | None:
    """The 16-byte id that to_tag() enciphered; None where the tag cannot be one of ours.

    Any 32 hex digits give some id. Who needs to know whether the tag is ours compares the id with transaction_id(),
    or loads its record.
    """
    if len(tag) != TAG_LENGTH:
        return None
    try:
        packed = unhexlify(tag)
    except HexError:
        return None
    return _cipher(key).decipher(packed)


_cipher = lru_cache(maxsize=8)(Cipher)


# -- loops -----------------------------------------------------------------------------------------------------------


def loop_value(message: SipMessage, key: bytes, extra: bytes = b"") -> bytes:
    """8 hex digits over all that routing depends on (RFC 5393 §4.2.1): Request-URI, Route, Proxy-Require,
    credentials, From, To, Call-ID, CSeq number, the X- and P- headers by which scripts mark what they have routed
    (docs/decisions/loops-and-marks.md), and `extra` (further input that the caller knows the routing to use). Not over
    method, Via and Max-Forwards.

    Take it from the request as received, before anything is edited.
    """
    state = blake2b(digest_size=4, key=key)
    head = (message.uri, message.call_id, b"%d" % message.cseq, message.from_value, message.to_value, extra)
    state.update(b"\0".join(head))
    for name in _ROUTING_INPUT:
        if message.has(name):
            state.update(b"\0\0" + name.encode() + b"\0" + b"\0".join(message.values(name)))
    if _HAS_MARK.search(message.raw):
        state.update(b"\0\0".join(_marks(message)))
    return hexlify(state.digest())


def _marks(message: SipMessage) -> list[bytes]:
    """X- and P- headers in an order that does not depend on theirs: who passes a request on may sort them."""
    head = message.raw.partition(b"\r\n\r\n")[0]
    return sorted(b"\0%b\0%b" % (name.lower(), value.strip()) for name, value in _MARK.findall(head))


def looped(message: SipMessage, loop: bytes, identity: Identity) -> bool:
    """Whether a Via of ours in the message carries the loop value that the message has now: it came back unchanged
    (RFC 5393 §4.2).
    """
    if message.via_count == 1:
        via = message.via
        return _carries(via.branch, via.host, via.port, loop, identity)
    return any(_value_carries(value, loop, identity) for value in message.values("Via"))


def _carries(branch: bytes, host: bytes, port: int, loop: bytes, identity: Identity) -> bool:
    ours = parse_branch(branch)
    return ours is not None and ours.loop == loop and identity.is_our_sent_by(host.decode("latin-1"), port)


def _value_carries(value: bytes, loop: bytes, identity: Identity) -> bool:
    """The same for a Via below the top one, of which the scanner keeps no parts."""
    branch, sent_by = _BRANCH_PARAMETER.search(value), _SENT_BY.match(value)
    if branch is None or sent_by is None:
        return False
    return _carries(branch[1], sent_by[1], int(sent_by[2] or 0), loop, identity)
