"""The transaction record as objects: plain values (siphon/state/record.py says what they mean).

Every message loads one and most commit one, so their fields are fields of C. Bytes are made of them in _codec.pyx, what
is next is told by _deadlines.pyx.
"""

# cython: boundscheck=False, wraparound=False

cimport cython

cdef enum:
    NO_WAITER = 0xFFFF


@cython.final
@cython.freelist(32)
cdef class Claim:
    """Work that one worker has taken on: handlers to run for this record (DESIGN: "A claim").

    The claimant is a slot and its generation, never a pid. When the claimant is dead the next worker claims again;
    `runs` counts how often that has happened.
    """

    def __init__(self, kind, branch, slot, generation, runs, deadline):
        self.kind = kind
        self.branch = branch
        self.slot = slot
        self.generation = generation
        self.runs = runs
        self.deadline = deadline


cdef class Client:
    """A client transaction: the state and the timers of RFC 3261 §17.1, for a branch or for its CANCEL.

    `resend_at` and `interval` are Timer A or E, `timeout_at` is Timer B or F, `end_at` is Timer D, K or M.
    """


@cython.final
cdef class Branch(Client):
    """One forwarded copy of the request (RFC 3261 §16.6) and its client transaction.

    `splices` rebuild the copy from the record's request byte for byte; `result` is the status that counts for the
    best response, set at the latest by the final response, earlier by a ring timeout; `response` holds that response
    without our Via, empty when it was made here. `cancel_by` is a CancelCause.
    """

    def __cinit__(self):
        self.ip = self.local_ip = ""
        self.uri = self.splices = self.others = self.response = self.cancel_reason = b""

    def __init__(self, index):
        self.index = index


@cython.final
@cython.freelist(32)
cdef class Record:
    """One server transaction (RFC 3261 §17.2) with everything that was made from it.

    Or a request of our own (`own`): its branches without a server transaction. Its `final_status` says that nothing is
    awaited any more, and the `response` of the last branch is the answer, as received.
    """

    def __cinit__(self):
        self.waiter = NO_WAITER
        self.method = self.local_ip = self.source_ip = self.reply_ip = ""
        self.send_socket = self.on_reply = self.on_failure = self.auth_user = ""
        self.request = self.edits = self.attempt_edits = self.call_id = self.from_tag = self.to_tag = b""
        self.reply_to_tag = self.last_response = self.prack = self.targets = self.cancel_reason = b""
        self.vars = self.consumed = b""
        self.branches = []
        self.claims = []

    def __init__(self, bytes key, salt):
        self.key = key
        self.salt = salt

    cpdef Branch branch(self, int index):
        """The branch of that index; None when there never was one."""
        cdef Branch branch
        for branch in self.branches:
            if branch.index == index:
                return branch
        return None

    cpdef Claim claim(self, int kind, int branch=0):
        """The claim of that kind (and branch, for REPLY); None when nobody holds it."""
        cdef Claim claim
        for claim in self.claims:
            if claim.kind == kind and claim.branch == branch:
                return claim
        return None

    def drop_claim(self, int kind, int branch=0):
        """Forget a claim; harmless when it is not there."""
        cdef Claim claim
        cdef list left = []
        for claim in self.claims:
            if claim.kind != kind or claim.branch != branch:
                left.append(claim)
        self.claims = left
