"""Does the test of a row notice when the behaviour is broken? For rows drawn by a seed, one line of the source is
changed in a copy, and a test that carries the row's id must fail there and pass without the change.

    python tools/broken_rows.py [--seed 3] [--rows 40] [ID ...]     the rows drawn, or those named
    python tools/broken_rows.py --list                              the mutants that are there

A row that is drawn and has no mutant yet is an error that names it: write one below. Exit 1 when a test did not notice.
"""

from __future__ import annotations

import argparse
import random
import sys

from broken import MUTANTS
from conformance import Test, listed, shown, tests
from mutation import Copy, Mutant

TESTS_A_ROW = 12
"""Tests of a row that are run at most, those first that see most of the proxy."""


def draw(seed: int, number: int) -> list[str]:
    """Rows that have tests, drawn by the seed; the same everywhere."""
    rows = listed()
    by_id = shown(rows, tests())
    known = sorted(name for name in rows if by_id[name])
    return sorted(random.Random(seed).sample(known, min(number, len(known))))


def main() -> int:
    """Break the rows; 1 when a test did not notice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    if options.list:
        print(*(f"{name:<14} {mutant.what}" for name, mutant in MUTANTS.items()), sep="\n")
        return 0
    chosen = options.ids or draw(options.seed, options.rows)
    by_id = shown(listed(), tests())
    with Copy() as copy:
        unnoticed = [name for name in chosen if not noticed(name, by_id.get(name, []), copy)]
    print(f"{len(chosen)} rows broken, {len(unnoticed)} unnoticed {unnoticed or ''}".rstrip())
    return 1 if unnoticed else 0


def noticed(name: str, row_tests: list[Test], copy: Copy) -> bool:
    """Whether a test of the row fails with its mutant, and passes without."""
    mutant = MUTANTS.get(name)
    if mutant is None or not row_tests:
        print(f"NO MUTANT   {name}", flush=True)
        return False
    failing = first_failing(name, row_tests, copy, mutant)
    print(f"{'noticed' if failing else 'UNNOTICED':<11} {name:<14} {mutant.what}: {failing}", flush=True)
    return bool(failing)


def first_failing(name: str, row_tests: list[Test], copy: Copy, mutant: Mutant) -> str:
    """The first test of the row that fails because of the mutant; "" when none does."""
    if not copy.change(mutant):
        print(f"NOT THERE   {name}: {mutant.file}", flush=True)
        return ""
    try:
        failing = [test for test in row_tests[:TESTS_A_ROW] if not passes(name, test, copy)]
    finally:
        copy.restore(mutant)
    return next((test.name for test in failing if passes(name, test, copy)), "")


def passes(name: str, test: Test, copy: Copy) -> bool:
    """Whether a test of the copy passes; of one with rows of parameters only those of this id are run."""
    words = f"{test.name} and {name}" if name in test.rows else test.name
    run = copy.run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{test.path}", "-k", words)
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
