"""The transaction record: all that siphond knows of one server transaction and the branches made from it.

A record is loaded as a private copy, changed by a decision and committed whole; nothing else holds state of a call. The
classes here are plain values: no clock, no socket, no behaviour. `encode` and `decode` (siphon/state/codec.py) turn one
into bytes of fixed layout and back; the same bytes lie in shared memory, go to Redis and run in the simulator.

Times are CLOCK_BOOTTIME seconds (float); 0.0 means "not armed". Statuses are SIP status codes; 0 means "none yet".
What ends a state and needs no action (Timers D, I, J, K, L, M) is a time that readers compare; what must act (A, B,
C, E, F, G, ring timeouts, claims) is a deadline that `next_deadline` sees.
"""

from __future__ import annotations

from enum import IntEnum


class Claim:
    """Work that one worker has taken on: handlers to run for this record (DESIGN: "A claim").

    The claimant is a slot and its generation, never a pid. When the claimant is dead the next worker claims again;
    `runs` counts how often that has happened.
    """

    __slots__ = ("branch", "deadline", "generation", "kind", "runs", "slot")

    def __init__(self, kind: int, branch: int, slot: int, generation: int, runs: int, deadline: float) -> None:
        self.kind = kind
        self.branch = branch
        self.slot = slot
        self.generation = generation
        self.runs = runs
        self.deadline = deadline


class ClaimKind(IntEnum):
    """What a claim's handlers are for."""

    REQUEST = 1
    REPLY = 2
    FAILURE = 3
    CANCEL = 4


NO_SLOT = 0xFFFF
"""Slot of a claim that waits for a worker: left by a helper that runs no handlers. `waiter` of a record for whose
answer nobody waits."""


class Client:
    """A client transaction: the state and the timers of RFC 3261 §17.1, for a branch or for its CANCEL.

    `resend_at` and `interval` are Timer A or E, `timeout_at` is Timer B or F, `end_at` is Timer D, K or M.
    """

    __slots__ = ("end_at", "interval", "resend_at", "state", "timeout_at")

    def __init__(self) -> None:
        self.state = 0
        self.resend_at = 0.0
        self.interval = 0.0
        self.timeout_at = 0.0
        self.end_at = 0.0


class Branch(Client):
    """One forwarded copy of the request (RFC 3261 §16.6) and its client transaction.

    `splices` rebuild the copy from the record's request byte for byte; `result` is the status that counts for the
    best response, set at the latest by the final response, earlier by a ring timeout; `response` holds that response
    without our Via, empty when it was made here.
    """

    __slots__ = (
        "cancel",
        "cancel_by",
        "cancel_reason",
        "dropped",
        "give_up_at",
        "index",
        "ip",
        "judging",
        "last_status",
        "listener",
        "local",
        "local_ip",
        "moved",
        "order",
        "others",
        "port",
        "provisional",
        "response",
        "result",
        "ring_at",
        "splices",
        "target",
        "timer_c_at",
        "uri",
    )

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self.ip = ""
        self.port = 0
        self.listener = 0
        self.local_ip = ""
        self.uri = b""
        self.splices = b""
        self.others = b""  # the plan with the target's further addresses, packed; empty when there are none
        self.moved = (
            False  # no candidate: given up for the target's next address (RFC 3263 §4.3), or a 3xx that is followed
        )
        self.last_status = 0
        self.provisional = False  # has had a 1xx, 100 included: CANCEL may go (RFC 3261 §9.1)
        self.result = 0
        self.local = False  # the result was made here (408, 503), not received
        self.order = 0  # rank of the result among all of the record: the earliest failure wins a tie
        self.judging = False  # on_reply still has to see the failure; the attempt waits for it
        self.dropped = False  # on_reply dropped this branch's 2xx: later copies are dropped unseen
        self.response = b""
        self.ring_at = 0.0
        self.timer_c_at = 0.0
        self.cancel: Client | None = None
        self.cancel_by = CancelCause.NONE
        self.cancel_reason = b""  # Reason lines of our CANCEL, joined by CRLF
        self.give_up_at = 0.0  # 64*T1 after the CANCEL: no final came
        self.target = 0  # number of the target in its attempt


class CancelCause(IntEnum):
    """Why a branch is being cancelled: decides what its end counts as."""

    NONE = 0
    CALLER = 1  # the caller's CANCEL: its final, normally 487, is the answer
    ANSWERED = 2  # another branch answered: its final is absorbed
    TIMER_C = 3  # counts as 408 when its final comes or 64*T1 later
    RING = 4  # timeout= expired: already counted as 408
    REJECTED = 5  # a handler rejected: failures are absorbed
    DECLINED = 6  # another branch answered 6xx: its final is one more candidate


class Record:
    """One server transaction (RFC 3261 §17.2) with everything that was made from it.

    Or a request of our own (`own`): its branches without a server transaction. Its `final_status` says that nothing is
    awaited any more, and the `response` of the last branch is the answer, as received.
    """

    __slots__ = (
        "attempt_edits",
        "attempt_first",
        "attempts",
        "auth_user",
        "branches",
        "call_id",
        "cancel_at",
        "cancel_reason",
        "cancelled",
        "claims",
        "consumed",
        "created",
        "cseq",
        "edits",
        "end_at",
        "final_sent_at",
        "final_status",
        "from_tag",
        "invite",
        "key",
        "last_response",
        "listener",
        "local_2xx",
        "local_ip",
        "method",
        "next_index",
        "on_failure",
        "on_reply",
        "own",
        "prack",
        "prack_until",
        "record_route",
        "rejected",
        "reply_ip",
        "reply_port",
        "reply_to_tag",
        "request",
        "resend_at",
        "interval",
        "ring_timeout",
        "rseq",
        "salt",
        "script_version",
        "send_socket",
        "source_ip",
        "source_port",
        "state",
        "strategy",
        "targets",
        "to_tag",
        "touched",
        "trying_at",
        "vars",
        "waiter",
        "wall",
    )

    def __init__(self, key: bytes, salt: int) -> None:
        self.key = key
        self.salt = salt
        self.method = ""
        self.invite = False
        self.own = False  # made here: no server transaction, nobody upstream
        self.waiter = NO_SLOT  # slot of the process that waits for the answer to an own request
        self.state = 0  # of the server transaction's table
        self.created = 0.0
        self.wall = 0.0
        self.script_version = 0
        self.touched = 0  # bit per slot that committed this record (diagnosis: which workers served the call)
        # the request: as received, our received/rport in its top Via; `edits` lead to what the handlers left
        self.request = b""
        self.edits = b""
        self.attempt_edits = b""  # the same for the running attempt: on_failure may edit for its own attempt only
        self.call_id = b""
        self.from_tag = b""
        self.to_tag = b""  # the request's own To tag
        self.cseq = 0
        self.reply_to_tag = b""  # set_reply_to_tag; else our tag is a function of the key
        # where it came from and where answers go
        self.listener = 0
        self.local_ip = ""
        self.source_ip = ""
        self.source_port = 0
        self.reply_ip = ""
        self.reply_port = 0
        # answers
        self.last_response = b""
        self.final_status = 0
        self.final_sent_at = 0.0
        self.local_2xx = False  # a 2xx of ours to an INVITE: repeated until its ACK
        self.trying_at = 0.0  # the automatic 100; after a provisional without an action, the 408
        self.resend_at = 0.0  # Timer G; before the final the next repeat of a reliable 1xx of ours
        self.interval = 0.0
        self.end_at = 0.0  # Timer H, I, J or L; before the final when a reliable 1xx is given up
        self.rseq = 0  # RSeq of the last reliable 1xx of ours (RFC 3262); 0: there was none
        self.prack = b""  # id of the transaction of the PRACK that has acknowledged it
        self.prack_until = 0.0  # until then it may come, or come again
        # the attempts
        self.branches: list[Branch] = []
        self.next_index = 0
        self.attempts = 0
        self.attempt_first = 0  # index of the first branch of the running attempt
        self.targets = b""  # msgpack: targets that have not been started
        self.strategy = 0
        self.ring_timeout = 0.0
        self.record_route = False
        self.send_socket = ""
        self.on_reply = ""
        self.on_failure = ""
        self.cancelled = False
        self.cancel_at = 0.0  # when the CANCEL came; its record lives Timer J longer
        self.cancel_reason = b""
        self.rejected = 0  # status of reply.reject()
        # the script's own
        self.vars = b""
        self.auth_user = ""
        self.consumed = b""  # URIs that loose_route() consumed, a line each
        self.claims: list[Claim] = []

    def branch(self, index: int) -> Branch | None:
        """The branch of that index; None when there never was one."""
        for branch in self.branches:
            if branch.index == index:
                return branch
        return None

    def claim(self, kind: int, branch: int = 0) -> Claim | None:
        """The claim of that kind (and branch, for REPLY); None when nobody holds it."""
        for claim in self.claims:
            if claim.kind == kind and claim.branch == branch:
                return claim
        return None

    def drop_claim(self, kind: int, branch: int = 0) -> None:
        """Forget a claim; harmless when it is not there."""
        self.claims = [c for c in self.claims if c.kind != kind or c.branch != branch]
