"""Mutants of rows about CANCEL, ACK and timers; like those of tools/broken_more.py they are run by their ids."""

from __future__ import annotations

from mutation import Mutant

ENGINE, TRANSACTION = "siphon/engine/", "siphon/transaction/"

CANCELS = {
    "CAN-01": Mutant(
        "the 200 to a CANCEL has a To tag of its own where the script has chosen one",
        ENGINE + "events.py",
        "tag = tag_for_cancel(record, env)",
        "tag = tag_for_cancel(Record(record.key, 0), env)",
    ),
    "CAN-02": Mutant(
        "a CANCEL is sent once",
        ENGINE + "timers.py",
        "        non_invite_client.apply(step, branch, cancel, non_invite_client.Event.TIMER_E, data)\n",
        "        cancel.resend_at = 0.0\n",
    ),
    "CAN-04": Mutant(
        "a branch that ignores its CANCEL gives 408",
        ENGINE + "results.py",
        "elif r.cancelled and not response:",
        "elif False:",
    ),
    "CAN-05": Mutant(
        "a CANCEL of a MESSAGE matches nothing",
        ENGINE + "ingest.py",
        "if self.core.store.head(key) is not None), None)",
        "if self.core.store.head(key) is None), None)",
    ),
    "CAN-07": Mutant(
        "a CANCEL before any branch waits for the handlers",
        ENGINE + "requests.py",
        "if all(b.result for b in r.branches):",
        "if r.branches and all(b.result for b in r.branches):",
    ),
    "CAN-09": Mutant(
        "a repeated CANCEL gets 200 for as long as the record lingers",
        ENGINE + "requests.py",
        "return bool(record.cancel_at) and now < record.cancel_at + timing.long",
        "return bool(record.cancel_at)",
    ),
    "CAN-10": Mutant(
        "a CANCEL that has to wait loses its Reason",
        ENGINE + "cancelling.py",
        "branch.cancel_reason = reason\n",
        'branch.cancel_reason = reason if branch.provisional else b""\n',
    ),
    "FORK-05": Mutant(
        "of two 2xx that cross the caller's CANCEL one goes up",
        ENGINE + "responses.py",
        "    if not r.invite and r.final_status:\n        return\n    r.targets",
        "    if r.final_status and (r.cancelled or not r.invite):\n        return\n    r.targets",
    ),
    "FORK-06": Mutant(
        "an on_failure that a CANCEL has overtaken is run again when its worker dies",
        ENGINE + "requests.py",
        "for kind in (ClaimKind.REQUEST, ClaimKind.FAILURE):",
        "for kind in (ClaimKind.REQUEST,):",
    ),
    "PRX-54": Mutant(
        "a branch that has not rung when another answers is never cancelled",
        ENGINE + "cancelling.py",
        "if branch is not but and is_live(branch):",
        "if branch is not but and is_live(branch) and branch.provisional:",
    ),
    "PRX-55": Mutant(
        "a 100 restarts Timer C",
        ENGINE + "responses.py",
        "if status > 100 and branch.timer_c_at:",
        "if branch.timer_c_at:",
    ),
}

TIMERS = {
    "TXN-02": Mutant(
        "Timer G doubles without end",
        TRANSACTION + "invite_server.py",
        "r.interval = min(2 * r.interval, step.timing.t2)\n    r.resend_at += r.interval",
        "r.interval = 2 * r.interval\n    r.resend_at += r.interval",
    ),
    "TXN-03": Mutant(
        "a repeated INVITE gets the failure no more",
        TRANSACTION + "invite_server.py",
        "    C: {\n        Event.REQUEST: (C, resend),",
        "    C: {\n        Event.REQUEST: (C, ignore),",
    ),
    "TXN-04": Mutant(
        "Timer L lasts as long as Timer I",
        TRANSACTION + "invite_server.py",
        'r.end_at = step.now + step.timing.long\n    r.last_response = b""',
        'r.end_at = step.now + step.timing.t4\n    r.last_response = b""',
    ),
    "TXN-05": Mutant(
        "an ACK with the INVITE's branch is absorbed after a 2xx",
        ENGINE + "events.py",
        "if 200 <= record.final_status < 300 and not record.local_2xx:",
        "if False:",
    ),
    "TXN-07": Mutant(
        "Timer A is capped at T2",
        TRANSACTION + "invite_client.py",
        "    branch.interval *= 2\n",
        "    branch.interval = min(2 * branch.interval, step.timing.t2)\n",
    ),
    "TXN-09": Mutant(
        "a repeated failure is not acknowledged",
        TRANSACTION + "invite_client.py",
        "Event.FINAL_300: (D, acknowledge),",
        "Event.FINAL_300: (D, ignore),",
    ),
    "TXN-12": Mutant(
        "a provisional changes nothing in Timer E",
        TRANSACTION + "non_invite_client.py",
        "    client.interval = step.timing.t2\n",
        "    client.interval = min(2 * client.interval, step.timing.t2)\n",
    ),
    "TXN-13": Mutant(
        "a repeated request gets its final once",
        TRANSACTION + "non_invite_server.py",
        "Event.REQUEST: (State.COMPLETED, resend),",
        "Event.REQUEST: (State.COMPLETED, ignore),",
    ),
    "TXN-15": Mutant(
        "a response to the CANCEL counts as one to the INVITE",
        ENGINE + "responses.py",
        '    if response.cseq_method == "CANCEL":\n        return _to_cancel',
        "    if False:\n        return _to_cancel",
    ),
    "TXN-21": Mutant(
        "a MESSAGE gets its 100 after 200 ms",
        ENGINE + "requests.py",
        "NON_INVITE_TRYING_SECS = 3.5",
        "NON_INVITE_TRYING_SECS = 0.2",
    ),
}

CALLS = {**CANCELS, **TIMERS}
