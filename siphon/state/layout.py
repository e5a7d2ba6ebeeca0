"""Layout of an encoded record: the one place that says which bytes mean what.

    fixed part | branches: fixed part each | claims | lengths of the variable parts | the variable parts, one after
    another

All integers are little endian, times are IEEE doubles. A reader checks LAYOUT first: a record of another layout is
never guessed at. siphon/state/_codec.pyx has the same as structs and
refuses to be imported when the sizes differ; a test encodes and decodes every field.
"""

from __future__ import annotations

import struct

LAYOUT = 3
"""Version of this layout; stored in every record and in the table's head."""

# layout, server state, flags, strategy, attempts, final status, listener, source port, reply port, next index,
# attempt_first, rejected, salt, script version, cseq, rseq, touched, branches, claims, waiter
FIXED = struct.Struct("<HBBBBHHHHHHHIIIIQHHH")

# created, wall, final_sent_at, trying_at, resend_at, interval, end_at, ring_timeout, cancel_at,
# prack_until
TIMES = struct.Struct("<10d")

RECORD_PARTS = (
    "method",
    "request",
    "edits",
    "attempt_edits",
    "call_id",
    "from_tag",
    "to_tag",
    "reply_to_tag",
    "local_ip",
    "source_ip",
    "reply_ip",
    "last_response",
    "targets",
    "send_socket",
    "on_reply",
    "on_failure",
    "cancel_reason",
    "vars",
    "auth_user",
    "consumed",
    "prack",
)
TEXT_PARTS = frozenset(
    ("method", "local_ip", "source_ip", "reply_ip", "send_socket", "on_reply", "on_failure", "auth_user")
)

RECORD_FLAGS = ("invite", "local_2xx", "record_route", "cancelled", "own")
OWN = 1 << RECORD_FLAGS.index("own")

# index, state, flags, cancel cause, last status, result, port, listener, target, order, cancel state
BRANCH = struct.Struct("<HBBBHHHHHHB")
# resend_at, interval, timeout_at, end_at, ring_at, timer_c_at, give_up_at, cancel: resend_at, interval, timeout_at,
# end_at
BRANCH_TIMES = struct.Struct("<11d")
BRANCH_PARTS = ("ip", "local_ip", "uri", "splices", "response", "cancel_reason", "others")
BRANCH_LENGTHS = struct.Struct(f"<{len(BRANCH_PARTS)}I")
BRANCH_TEXT = frozenset(("ip", "local_ip"))
BRANCH_FLAGS = ("provisional", "local", "judging", "dropped", "moved")
NO_CANCEL = 0xFF

# kind, branch, slot, generation, runs, deadline
CLAIM = struct.Struct("<BHHQBd")
