"""Does the simulator find bugs? Changes one line at a time in a copy of the source and runs seeds until one fails.

    python tools/mutants.py [--seeds 3000] [WORD ...]      only mutants whose description has one of the words

Exit 1 when a mutant survives, or when the line that it changes is not there any more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Mutant(NamedTuple):
    """In `file`, `old` becomes `new`."""

    what: str
    file: str
    old: str
    new: str


ENGINE, TRANSACTION, STATE = "siphon/engine/", "siphon/transaction/", "siphon/state/"
MUTANTS = [
    Mutant(
        "a commit that compares no version",
        STATE + "memory.py",
        "if (0 if entry is None else entry.head.version) != expected:",
        "if False:",
    ),
    Mutant(
        "datagrams leave before their commit",
        STATE + "memory_store.py",
        'self._gate("commit")\n',
        'self._gate("commit")\n        for send in commit.sends:\n            self._send(send)\n',
    ),
    Mutant("the owner is forgotten", ENGINE + "core.py", "owner=self.env.owner,", "owner=0,"),
    Mutant(
        "deadlines are not armed",
        ENGINE + "core.py",
        "self.arm(commit.next_deadline, commit.key, version)",
        "pass",
    ),
    Mutant(
        "a conflict of a late commit is forgotten",
        ENGINE + "core.py",
        "done = answer != CONFLICT\n            if done:",
        "done = True\n            if answer != CONFLICT:",
    ),
    Mutant("a claim is not run by its claimant", ENGINE + "environment.py", "step.work.append(claim)", "pass"),
    Mutant(
        "claims of the dead stay",
        ENGINE + "timers.py",
        "if claim.slot != NO_SLOT and alive(claim.slot, claim.generation):",
        "if True:",
    ),
    Mutant(
        "claims of the living are taken",
        ENGINE + "timers.py",
        "if claim.slot != NO_SLOT and alive(claim.slot, claim.generation):",
        "if False:",
    ),
    Mutant(
        "Timer G catches up in a burst",
        ENGINE + "timers.py",
        "if due(r.resend_at, step.now):\n        r.resend_at = step.now + r.interval",
        "pass",
    ),
    Mutant(
        "Accepted repeats the 2xx",
        TRANSACTION + "invite_server.py",
        "Event.REQUEST: (A, ignore),",
        "Event.REQUEST: (A, resend),",
    ),
    Mutant(
        "Accepted is skipped",
        TRANSACTION + "invite_server.py",
        "Event.FINAL_2XX: (A, send_arm_l),",
        "Event.FINAL_2XX: (C, send_arm_l),",
    ),
    Mutant(
        "a repeated failure gets no ACK",
        TRANSACTION + "invite_client.py",
        "Event.FINAL_300: (D, acknowledge),",
        "Event.FINAL_300: (D, ignore),",
    ),
    Mutant(
        "Timer A comes too early",
        TRANSACTION + "invite_client.py",
        "branch.resend_at += branch.interval\n",
        "branch.resend_at += branch.interval / 2\n",
    ),
    Mutant(
        "Timer F is ignored",
        TRANSACTION + "non_invite_client.py",
        "        Event.TIMER_F: (T, fail),\n",
        "",
    ),
    Mutant(
        "CANCEL does not wait for a provisional",
        ENGINE + "cancelling.py",
        "if branch.provisional:\n        send_cancel",
        "if True:\n        send_cancel",
    ),
    Mutant(
        "nobody waits for a cancelled branch in vain",
        ENGINE + "cancelling.py",
        "branch.give_up_at = step.now + step.timing.long",
        "pass",
    ),
    Mutant(
        "losers are not cancelled",
        ENGINE + "responses.py",
        "cancel_branches(step, CancelCause.ANSWERED, ANSWERED_ELSEWHERE, but=branch)",
        "pass",
    ),
    Mutant(
        "on_failure goes on after a 2xx",
        ENGINE + "responses.py",
        "r.drop_claim(ClaimKind.FAILURE)\n    respond",
        "respond",
    ),
    Mutant("the salt is not compared", ENGINE + "responses.py", "ours.salt != record.salt or", ""),
    Mutant(
        "every request is new",
        ENGINE + "events.py",
        "self.new = record is None or is_over",
        "self.new = True or is_over",
    ),
    Mutant(
        "the attempt does not wait for on_reply",
        ENGINE + "settle.py",
        "not b.result or b.judging for b",
        "not b.result for b",
    ),
    Mutant("a 6xx cancels nobody", ENGINE + "settle.py", "cancel_branches(step, CancelCause.DECLINED)", "pass"),
    Mutant("there is no Timer C", ENGINE + "attempts.py", "branch.timer_c_at = step.now + step.timing.timer_c", "pass"),
    Mutant("the CANCEL is not remembered", ENGINE + "requests.py", "r.cancelled = True", "r.cancelled = False"),
    Mutant(
        "a CANCEL before any branch waits",
        ENGINE + "requests.py",
        "if all(b.result for b in r.branches):\n        for",
        "if False:\n        for",
    ),
    Mutant("Timer G is no deadline", STATE + "deadlines.py", "yield record.resend_at", "yield 0.0"),
    Mutant("Timer E of a CANCEL is no deadline", STATE + "deadlines.py", "yield branch.cancel.resend_at", "yield 0.0"),
    Mutant("who cancelled is not stored", STATE + "codec.py", "b.cancel_by = CancelCause(cause)", "pass"),
]


def main() -> int:
    """Run the mutants; 1 when one survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.words or any(word in m.what for word in options.words)]
    with tempfile.TemporaryDirectory(prefix="siphon-mutants-") as name:
        copy = Path(name)
        for package in ("siphon", "workers", "shm"):
            shutil.copytree(ROOT / package, copy / package)
        survivors = [mutant.what for mutant in chosen if not caught(mutant, copy, options.seeds)]
    print(f"{len(chosen)} mutants, {len(survivors)} survived {survivors or ''}".rstrip())
    return 1 if survivors else 0


def caught(mutant: Mutant, copy: Path, seeds: int) -> bool:
    """Whether a seed fails in the copy with that line changed."""
    text = (ROOT / mutant.file).read_text()
    if mutant.old not in text:
        print(f"not there   {mutant.what}: {mutant.file}")
        return False
    (copy / mutant.file).write_text(text.replace(mutant.old, mutant.new, 1))
    command = [sys.executable, "-m", "siphon.testing.sim", "--seeds", str(seeds)]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    (copy / mutant.file).write_text(text)
    found = next((line for line in run.stdout.splitlines() if line.startswith("seed ")), "")
    print(f"{'caught' if run.returncode == 1 else 'SURVIVED':<11} {mutant.what}: {found[:90]}", flush=True)
    return run.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
