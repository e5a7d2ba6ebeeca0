"""For each row of the table of conformance that has been drawn: a change of one line that breaks its behaviour.

Used by tools/broken_rows.py. A change is small and plausible: what somebody might do by mistake.
"""

from __future__ import annotations

from mutation import Mutant

ENGINE, FORWARDING = "siphon/engine/", "siphon/forwarding/"

MUTANTS: dict[str, Mutant] = {
    "PRX-49": Mutant(
        "a 503 goes up as it is",
        FORWARDING + "aggregate.py",
        "if status == 503:\n        return SERVER_INTERNAL_ERROR",
        "if False:\n        return SERVER_INTERNAL_ERROR",
    ),
}
