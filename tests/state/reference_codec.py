"""What siphon/state/_codec.pyx does, in plain Python: both must give the same bytes."""

from __future__ import annotations

import struct

from siphon.state import layout as at
from siphon.state.codec import BadRecord
from siphon.state.record import Branch, CancelCause, Claim, Client, Record

SAME = b"="

_RECORD_LENGTHS = struct.Struct(f"<{len(at.RECORD_PARTS)}I")


def encode(r: Record) -> bytes:
    """The record as bytes; deterministic, so equal records give equal bytes."""
    head = at.FIXED.pack(
        at.LAYOUT,
        r.state,
        r.invite | r.local_2xx << 1 | r.record_route << 2 | r.cancelled << 3 | r.own << 4,
        r.strategy,
        r.attempts,
        r.final_status,
        r.listener,
        r.source_port,
        r.reply_port,
        r.next_index,
        r.attempt_first,
        r.rejected,
        r.salt,
        r.script_version,
        r.cseq,
        r.rseq,
        r.touched,
        len(r.branches),
        len(r.claims),
        r.waiter,
    )
    times = at.TIMES.pack(
        r.created,
        r.wall,
        r.final_sent_at,
        r.trying_at,
        r.resend_at,
        r.interval,
        r.end_at,
        r.ring_timeout,
        r.cancel_at,
        r.prack_until,
    )
    parts = [
        r.method.encode(),
        r.request,
        r.edits,
        SAME if r.attempt_edits and r.attempt_edits == r.edits else r.attempt_edits,
        r.call_id,
        r.from_tag,
        r.to_tag,
        r.reply_to_tag,
        r.local_ip.encode(),
        r.source_ip.encode(),
        r.reply_ip.encode(),
        r.last_response,
        r.targets,
        r.send_socket.encode(),
        r.on_reply.encode(),
        r.on_failure.encode(),
        r.cancel_reason,
        r.vars,
        r.auth_user.encode("utf-8", "surrogateescape"),
        r.consumed,
        r.prack,
    ]
    out = [head, times]
    tail: list[bytes] = []
    for b in r.branches:
        _encode_branch(b, out, tail)
    out.extend(at.CLAIM.pack(c.kind, c.branch, c.slot, c.generation, c.runs, c.deadline) for c in r.claims)
    out.append(_RECORD_LENGTHS.pack(*map(len, parts)))
    out.extend(parts)
    out.extend(tail)
    return b"".join(out)


def _encode_branch(b: Branch, out: list[bytes], tail: list[bytes]) -> None:
    c = b.cancel
    flags = b.provisional | b.local << 1 | b.judging << 2 | b.dropped << 3 | b.moved << 4
    state = at.NO_CANCEL if c is None else c.state
    out.append(
        at.BRANCH.pack(
            b.index, b.state, flags, b.cancel_by, b.last_status, b.result, b.port, b.listener, b.target, b.order, state
        )
    )
    own = (b.resend_at, b.interval, b.timeout_at, b.end_at, b.ring_at, b.timer_c_at, b.give_up_at)
    theirs = (0.0, 0.0, 0.0, 0.0) if c is None else (c.resend_at, c.interval, c.timeout_at, c.end_at)
    out.append(at.BRANCH_TIMES.pack(*own, *theirs))
    parts = (b.ip.encode(), b.local_ip.encode(), b.uri, b.splices, b.response, b.cancel_reason, b.others)
    out.append(at.BRANCH_LENGTHS.pack(*map(len, parts)))
    tail.extend(parts)


def decode(key: bytes, data: bytes) -> Record:
    """The record whose bytes these are; BadRecord when they are not one."""
    try:
        return _decode(key, data)
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise BadRecord(str(error)) from error


def _decode(key: bytes, data: bytes) -> Record:
    head = at.FIXED.unpack_from(data, 0)
    if head[0] != at.LAYOUT:
        raise BadRecord(f"layout {head[0]}, expected {at.LAYOUT}")
    r = Record(key, head[12])
    flags = head[2]
    r.state, r.strategy, r.attempts, r.final_status, r.listener = head[1], head[3], head[4], head[5], head[6]
    r.source_port, r.reply_port, r.next_index, r.attempt_first, r.rejected = head[7:12]
    r.script_version, r.cseq, r.rseq, r.touched, branches, claims, r.waiter = head[13:20]
    r.invite, r.local_2xx = bool(flags & 1), bool(flags & 2)
    r.record_route, r.cancelled, r.own = bool(flags & 4), bool(flags & 8), bool(flags & at.OWN)
    position = at.FIXED.size
    times = at.TIMES.unpack_from(data, position)
    r.created, r.wall, r.final_sent_at, r.trying_at, r.resend_at, r.interval, r.end_at = times[:7]
    r.ring_timeout, r.cancel_at, r.prack_until = times[7:]
    position += at.TIMES.size
    lengths: list[tuple[int, ...]] = []
    for _ in range(branches):
        branch, sizes = _decode_branch(data, position)
        r.branches.append(branch)
        lengths.append(sizes)
        position += at.BRANCH.size + at.BRANCH_TIMES.size + at.BRANCH_LENGTHS.size
    for _ in range(claims):
        kind, branch_index, slot, generation, runs, deadline = at.CLAIM.unpack_from(data, position)
        r.claims.append(Claim(kind, branch_index, slot, generation, runs, deadline))
        position += at.CLAIM.size
    sizes = _RECORD_LENGTHS.unpack_from(data, position)
    position += _RECORD_LENGTHS.size
    total = position + sum(sizes) + sum(map(sum, lengths))
    if total != len(data):
        raise BadRecord(f"{len(data)} bytes, expected {total}")
    return _parts(r, data, position, sizes, lengths)


def _decode_branch(data: bytes, position: int) -> tuple[Branch, tuple[int, ...]]:
    index, state, flags, cause, last, result, port, listener, target, order, cancel = at.BRANCH.unpack_from(
        data, position
    )
    b = Branch(index)
    b.state, b.last_status, b.result, b.port, b.listener, b.target = state, last, result, port, listener, target
    b.order = order
    b.cancel_by = CancelCause(cause)
    b.provisional, b.local, b.judging, b.dropped = bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8)
    b.moved = bool(flags & 16)
    position += at.BRANCH.size
    times = at.BRANCH_TIMES.unpack_from(data, position)
    b.resend_at, b.interval, b.timeout_at, b.end_at, b.ring_at, b.timer_c_at, b.give_up_at = times[:7]
    if cancel != at.NO_CANCEL:
        b.cancel = Client()
        b.cancel.state = cancel
        b.cancel.resend_at, b.cancel.interval, b.cancel.timeout_at, b.cancel.end_at = times[7:]
    return b, at.BRANCH_LENGTHS.unpack_from(data, position + at.BRANCH_TIMES.size)


def _parts(r: Record, data: bytes, position: int, sizes: tuple[int, ...], lengths: list[tuple[int, ...]]) -> Record:
    cut: list[bytes] = []
    for size in sizes:
        cut.append(data[position : position + size])
        position += size
    r.method = cut[0].decode()
    r.request, r.edits, r.attempt_edits, r.call_id, r.from_tag, r.to_tag, r.reply_to_tag = cut[1:8]
    if r.attempt_edits == SAME:
        r.attempt_edits = r.edits
    r.local_ip, r.source_ip, r.reply_ip = cut[8].decode(), cut[9].decode(), cut[10].decode()
    r.last_response, r.targets = cut[11], cut[12]
    r.send_socket, r.on_reply, r.on_failure = cut[13].decode(), cut[14].decode(), cut[15].decode()
    r.cancel_reason, r.vars, r.consumed, r.prack = cut[16], cut[17], cut[19], cut[20]
    r.auth_user = cut[18].decode("utf-8", "surrogateescape")
    for branch, own in zip(r.branches, lengths, strict=True):
        pieces: list[bytes] = []
        for size in own:
            pieces.append(data[position : position + size])
            position += size
        branch.ip, branch.local_ip = pieces[0].decode(), pieces[1].decode()
        branch.uri, branch.splices, branch.response, branch.cancel_reason, branch.others = pieces[2:]
    return r
