"""Does the simulator find bugs? Changes one line at a time in a copy of the source and runs seeds until one fails.

    ./dev mutants [--seeds 3000] [--unit] [WORD ...]      only mutants whose description has one of the words

A mutant that seeds meet too seldom names a test of its own, which is run instead of them.

With --unit each mutant goes through the unit tests as well (UNIT below): those that pass them are what only the
simulator sees. Exit 1 when a mutant survives the seeds, or when the line that it changes is not there any more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from mutation import Copy, Mutant
from node_mutants import MUTANTS as NODE_MUTANTS

UNIT = ("transaction", "forwarding", "state", "sip", "script", "services")
"""Folders of tests/ that try the parts by themselves, without workers, network and time."""

ENGINE, TRANSACTION, STATE = "siphon/engine/", "siphon/transaction/", "siphon/state/"
FORWARDING = "siphon/forwarding/"
LOCATION = "siphon/services/location/"
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
    Mutant(
        "Timer G is no deadline",
        STATE + "_deadlines.pyx",
        "sooner(sooner(0.0, r.trying_at), r.resend_at)",
        "sooner(0.0, r.trying_at)",
    ),
    Mutant(
        "Timer E of a CANCEL is no deadline", STATE + "_deadlines.pyx", "sooner(found, b.cancel.resend_at)", "found"
    ),
    Mutant(
        "a PRACK ends no repeats",
        ENGINE + "reliable.py",
        "invite_server.apply(step, invite_server.Event.PRACK)",
        "pass",
    ),
    Mutant(
        "a repeated PRACK is a stranger",
        ENGINE + "reliable.py",
        "(record.prack == own and now < record.prack_until)",
        "False",
    ),
    Mutant(
        "a reliable 1xx is repeated once for its PRACK",
        TRANSACTION + "invite_server.py",
        "r.resend_at = min(r.resend_at + r.interval, r.end_at)",
        "r.resend_at = r.end_at",
    ),
    Mutant(
        "nobody waits for a PRACK in vain",
        ENGINE + "reliable.py",
        "answer(step, env, *NO_PRACK)",
        "step.record.resend_at = 0.0",
    ),
    Mutant(
        "a PRACK with a tag of the script's choice finds nothing",
        ENGINE + "core.py",
        "awaited(step, self.env)",
        "pass",
    ),
    Mutant("the short way takes forks", ENGINE + "_plain.pyx", "len(r.branches) != 1", "len(r.branches) < 1"),
    Mutant("the short way takes any salt", ENGINE + "_plain.pyx", "r.salt != salt or ", ""),
    Mutant("the short way forgets Timer M", ENGINE + "_plain.pyx", "b.end_at = now + self.long", "pass"),
    Mutant("the short way in takes any repeat for served", ENGINE + "_arrivals.pyx", "version <= 0", "version < -9"),
    Mutant("the short way in forgets to claim", ENGINE + "_arrivals.pyx", "r.claims.append(claim)", "pass"),
    Mutant("a short attempt forgets the user's ring time", ENGINE + "_attempts.pyx", "if r.ring_timeout:", "if False:"),
    Mutant("a short attempt forgets Timer F", ENGINE + "_attempts.pyx", "b.timeout_at = now + self.long", "pass"),
    Mutant("the short way forwards any ACK", ENGINE + "_acks.pyx", "if not self.is_ours(value, call_id):", "if False:"),
    Mutant("a short attempt keeps its claim", ENGINE + "_attempts.pyx", "r.claims = []", "pass"),
    Mutant("a short attempt forgets its 100", ENGINE + "_attempts.pyx", "r.last_response = answer =", "answer ="),
    Mutant("a short run commits no deadline", ENGINE + "_runs.pyx", "write(r), next_deadline(r)", "write(r), 0.0"),
    Mutant(
        "a short loop value leaves out Routes",
        ENGINE + "_hashes.pyx",
        'position(b"Route", 0) < 0:',
        "position(b'', 0) < 0:",
    ),
    Mutant("a short answer forgets Timer J", ENGINE + "_answers.pyx", "r.end_at = now + self.long", "pass"),
    Mutant("a short answer keeps its claim", ENGINE + "_answers.pyx", "r.claims = []", "pass"),
    Mutant(
        "a short REGISTER takes any CSeq", LOCATION + "_saves.pyx", "return o.cseq < <uint64_t>m.s.cseq", "return True"
    ),
    Mutant("a short REGISTER is behind NAT", LOCATION + "_saves.pyx", "nat = behind_nat or", "nat = True or"),
    Mutant(
        "a short REGISTER is no event",
        LOCATION + "_saves.pyx",
        "event = REGISTERED if adds else REFRESHED",
        "event = 0",
    ),
    Mutant(
        "a short REGISTER lasts too long",
        LOCATION + "_saves.pyx",
        "put_double(out, wall + w.lifetime)",
        "put_double(out, wall)",
    ),
    Mutant("the RSeq is not stored", STATE + "_codec.pyx", "r.rseq = f.rseq", "pass"),
    Mutant(
        "a record does not wait for a PRACK",
        STATE + "_deadlines.pyx",
        "later(later(r.end_at, r.created), r.prack_until)",
        "later(r.end_at, r.created)",
    ),
    Mutant(
        "no request is merged", "siphon/services/_merged.pyx", "got == ID_BYTES and", "got == ID_BYTES and False and"
    ),
    Mutant("who cancelled is not stored", STATE + "_codec.pyx", "b.cancel_by = f.cancel_by", "pass"),
    Mutant(
        "the Call-ID of a response is not compared",
        ENGINE + "responses.py",
        "response.call_id != record.call_id or",
        "",
    ),
    Mutant(
        "the From tag of a response is not compared",
        ENGINE + "responses.py",
        'if (response.from_tag or b"").lower() != record.from_tag.lower():',
        "if False:",
    ),
    Mutant(
        "a response of any method is taken",
        ENGINE + "responses.py",
        'response.cseq_method not in (record.method, "CANCEL")',
        "False",
    ),
    Mutant(
        "a Via of anybody is taken for ours",
        ENGINE + "events.py",
        "forged = self.foreign_via and not",
        "forged = False and not",
    ),
    Mutant(
        "of two 2xx that cross the CANCEL one goes up",
        ENGINE + "responses.py",
        "    if not r.invite and r.final_status:\n        return\n    r.targets",
        "    if r.final_status and (r.cancelled or not r.invite):\n        return\n    r.targets",
    ),
    Mutant(
        "anybody may cancel",
        ENGINE + "events.py",
        "foreign = record is not None and self.same_source and record.source_ip != self.arrival.source[0]",
        "foreign = False",
    ),
    Mutant(
        "a strict router behind gets no request line of its own",
        FORWARDING + "copy.py",
        'if first.has_param("lr"):\n        return unchanged',
        "return unchanged",
    ),
    Mutant(
        "our own value in the request line is taken for a target",
        FORWARDING + "routes.py",
        "if (own := _own_record_route(facts, identity, signer)) is not None:",
        "if (own := None) is not None:",
    ),
    Mutant(
        "a parked event is lost",
        ENGINE + "core.py",
        "if isinstance(wait, Busy):\n            self.retry.append(event)",
        "if isinstance(wait, Busy):\n            pass",
    ),
    Mutant("REGISTER: any CSeq will do", LOCATION + "register.py", "and b.cseq >= facts.cseq", "and False"),
    Mutant(
        "REGISTER: a repeated save is out of order",
        LOCATION + "register.py",
        "return bool(transaction) and",
        "return False and",
    ),
    Mutant(
        "REGISTER: after a conflict nothing is computed again",
        LOCATION + "location.py",
        "result = rewrite(old)",
        'result = locals().get("result") or rewrite(old)',
    ),
    Mutant(
        "REGISTER: a conflict counts as stored",
        LOCATION + "location.py",
        "if answer > 0:\n                self._told",
        "if answer >= 0:\n                self._told",
    ),
    Mutant(
        "REGISTER: a removal is no event",
        LOCATION + "register.py",
        "state.events += [(Event.DEREGISTERED, b) for b in touched]",
        "pass",
    ),
    Mutant("REGISTER: expiry is no event", LOCATION + "location.py", "kinds = [Event.EXPIRED]", "pass"),
    Mutant("REGISTER: all events go with the one told", LOCATION + "changes.py", "if entry[0] > number", "if False"),
    Mutant(
        "REGISTER: events are taken off before they are told",
        ENGINE + "deliveries.py",
        "self._run(change, lambda",
        "self.location.delivered(key, change.number, 0.0)\n            self._run(change, lambda",
    ),
    Mutant(
        "REGISTER: an event is told as it comes",
        ENGINE + "deliveries.py",
        "if key in self._running:\n            return",
        "if False:\n            return",
    ),
    Mutant(
        "REGISTER: nobody looks for lost hints",
        ENGINE + "deliveries.py",
        "self.hint(self.location.changed_keys())",
        "pass",
    ),
]


def main() -> int:
    """Run the mutants; 1 when one survives."""
    parser = argparse.ArgumentParser(
        prog="./dev mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("--unit", action="store_true", help="run the unit tests over each mutant too")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    chosen = [
        m for m in (*MUTANTS, *NODE_MUTANTS) if not options.words or any(word in m.what for word in options.words)
    ]
    if not chosen:
        parser.error(f"no mutant has {' or '.join(map(repr, options.words))} in its description")
    survivors, unseen = [], []
    with Copy() as copy:
        for mutant in chosen:
            caught, seen = try_one(mutant, copy, options.seeds, options.unit)
            survivors += [] if caught else [mutant.what]
            unseen += [] if seen else [mutant.what]
    print(f"{len(chosen)} mutants, {len(survivors)} survived {survivors or ''}".rstrip())
    if options.unit:
        print(f"{len(unseen)} of them pass the unit tests")
    return 1 if survivors else 0


def try_one(mutant: Mutant, copy: Copy, seeds: int, unit: bool) -> tuple[bool, bool]:
    """Whether a seed, or the test that the mutant names, fails in the copy with that line changed, and whether a unit
    test does."""
    if not copy.change(mutant):
        print(f"not there   {mutant.what}: {mutant.file}")
        return False, True
    try:
        nodes = ["--nodes"] if mutant in NODE_MUTANTS else []
        if mutant.test:
            run = copy.run("-m", "pytest", "-q", "-x", mutant.test)
        else:
            run = copy.run("-m", "siphon.testing.sim", "--seeds", str(seeds), *nodes)
        seen = unit and copy.run("-m", "pytest", "-q", "-x", *(f"tests/{name}" for name in UNIT)).returncode != 0
    finally:
        copy.restore(mutant)
    return report(mutant, run, seen), seen


def report(mutant: Mutant, run: subprocess.CompletedProcess[str], seen: bool) -> bool:
    """Print what became of it."""
    found = next((line for line in run.stdout.splitlines() if line.startswith(("seed ", "FAILED "))), "")
    note = "; a unit test fails too" if seen else ""
    print(f"{'caught' if run.returncode == 1 else 'SURVIVED':<11} {mutant.what}: {found[:90]}{note}", flush=True)
    return run.returncode == 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
