"""Mutants of rows about what workers share; run by their ids, as those of tools/broken_more.py.

Those that tests without processes can notice.
"""

from __future__ import annotations

from mutation import Mutant

ENGINE = "siphon/engine/"

SHARED = {
    "SHARED-06": Mutant(
        "a CANCEL ends an INVITE only when it has a branch",
        ENGINE + "requests.py",
        "if all(b.result for b in r.branches):",
        "if r.branches and all(b.result for b in r.branches):",
    ),
    "SHARED-08": Mutant(
        "what is due several times after a gap is sent as often at once",
        ENGINE + "timers.py",
        "    if due(branch.resend_at, step.now):\n        branch.resend_at = step.now + branch.interval\n",
        "",
    ),
    "SHARED-13": Mutant(
        "the claim of a dead worker is looked after as if it lived",
        ENGINE + "timers.py",
        "if claim.slot != NO_SLOT and alive(claim.slot, claim.generation):",
        "if claim.slot != NO_SLOT:",
    ),
    "SHARED-15": Mutant(
        "a ring time that has ended while nobody looked is no end",
        ENGINE + "timers.py",
        "    if due(branch.ring_at, now):\n",
        "    if due(branch.ring_at, now) and now < branch.ring_at + 1.0:\n",
    ),
    "SHARED-16": Mutant(
        "an on_failure that a death has cut off is not run again",
        ENGINE + "timers.py",
        "    if runs <= MAX_RUNS:",
        "    if runs <= MAX_RUNS and (runs == 0 or kind != ClaimKind.FAILURE):",
    ),
    "SHARED-20": Mutant(
        "a request that has had a provisional is repeated no more",
        ENGINE + "timers.py",
        "    if due(branch.timeout_at, now):  # before",
        "    if not step.record.invite and branch.provisional and due(branch.resend_at, now):\n"
        "        branch.resend_at = 0.0\n"
        "    if due(branch.timeout_at, now):  # before",
    ),
    "SHARED-35": Mutant(
        "the 503 of a full table has no Retry-After",
        ENGINE + "ingest.py",
        "self.stateless(event.arrival, 503, headers=[RETRY_AFTER])",
        "self.stateless(event.arrival, 503)",
    ),
    "SHARED-37": Mutant(
        "a request larger than a record gets 503",
        ENGINE + "ingest.py",
        "self.stateless(event.arrival, 513)",
        "self.stateless(event.arrival, 503)",
    ),
}
