"""Further mutants of rows that another list has already: each breaks another clause. They are named `ID/word`, and are
run by that name as those of tools/broken_more.py.
"""

from __future__ import annotations

from mutation import Mutant

ENGINE = "siphon/engine/"

AGAIN = {
    "PRX-20/strict": Mutant(
        "a target of a fork is put behind a strict router that the Route header names",
        ENGINE + "attempts.py",
        "steered=not plan.fork and not plan.next_hop and plan.place is None",
        "steered=not plan.next_hop and plan.place is None",
    ),
    "PRX-28/again": Mutant(
        "a request that comes again when its transaction has ended has the branch that it had before",
        ENGINE + "_arrivals.pyx",
        "self.ingest.random_bits(32) if self.drawn is None else self.drawn.word()",
        "0",
    ),
    "PRX-32/engine": Mutant(
        "what the engine answers has not the tag that the script has chosen",
        ENGINE + "answers.py",
        "tag = tag_of(step.record, env)",
        "tag = to_tag(step.record.key, env.tag_key)",
    ),
    "PRX-32/vias": Mutant(
        "the 100 to what is forwarded has the first line of Vias alone",
        "siphon/sip/_build_cy.py",
        'copy_all(request, request.s.i_via, b"Via", parts)',
        'copy_one(request, request.s.i_via, b"Via", parts)',
    ),
    "SEC-08/spent": Mutant(
        "failures that have led to a ban count towards the next one",
        "siphon/services/bans/failures.py",
        "failure.user == name and failure.kind < SPENT for",
        "failure.user == name for",
    ),
    "SEC-08/strong": Mutant(
        "a name that nobody has weighs as a user once it is banned",
        "siphon/services/bans/failures.py",
        "if failure.kind & STRONG}",
        "if failure.kind == STRONG}",
    ),
    "TXN-25/runs": Mutant(
        "handlers that end every worker are run for ever",
        ENGINE + "timers.py",
        "    if runs <= MAX_RUNS:",
        "    if True:",
    ),
}
