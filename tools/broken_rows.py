"""Does the test of a row notice when the behaviour is broken? For each row of tools/broken.py one small change is made
in a copy of the source; a test that carries the row's id must fail there and pass without the change.

    python tools/broken_rows.py                            all rows of the list
    python tools/broken_rows.py ID ...                     these; ID/word is a further mutant of a row
    python tools/broken_rows.py --seed 4 [--rows 40]       rows drawn from today's table of conformance
    python tools/broken_rows.py --markdown                 the table of docs/broken-rows.md, after the run
    python tools/broken_rows.py --list                     the mutants that are there

The list was drawn by seed 3 from the 290 rows that had tests then, and stays: a table with one row more draws others.
A row that is drawn and has no mutant is an error that names it: write one. Tests without processes are run first, all
in one go; those with processes one after the other, where the first ones did not notice. Errors outside of a test (a
module that does not load) are no failures: such a mutant breaks more than its row. Exit 1 when a row was not noticed.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator, Sequence

from broken import MUTANTS as DRAWN
from broken_again import AGAIN
from broken_more import MORE
from broken_parser import PARSER
from broken_proxying import PROXYING
from broken_services import SERVICES
from broken_shared import SHARED
from broken_transactions import CALLS
from conformance import Test, listed, shown, tests
from mutation import Copy, Mutant

LISTS = (DRAWN, MORE, CALLS, PROXYING, SERVICES, SHARED, PARSER, AGAIN)
MUTANTS = {name: mutant for mutants in LISTS for name, mutant in mutants.items()}
SLOW = ("workers", "cli", "processes")
"""Folders of tests/ that start processes; those of the last one take longest."""
_FAILED = re.compile(r"^FAILED (tests/\S+?::.*?)(?: - .*)?$", re.MULTILINE)


def draw(seed: int, number: int) -> list[str]:
    """Rows that have tests, drawn by the seed; the same everywhere, for one table."""
    rows = listed()
    by_id = shown(rows, tests())
    known = sorted(name for name in rows if by_id[name])
    return sorted(random.Random(seed).sample(known, min(number, len(known))))


def main() -> int:
    """Break the rows; 1 when a test did not notice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    if options.list:
        print(*(f"{name:<14} {mutant.what}" for name, mutant in MUTANTS.items()), sep="\n")
        return 0
    drawn = sorted(DRAWN) if options.seed is None else draw(options.seed, options.rows)
    chosen = options.ids or drawn
    by_id = shown(listed(), tests())
    with Copy() as copy:
        found = {name: noticed_by(name, by_id.get(row_of(name), []), copy) for name in chosen}
    unnoticed = [name for name, test in found.items() if not test]
    summary = f"{len(chosen)} rows broken, {len(unnoticed)} unnoticed {' '.join(unnoticed)}".rstrip()
    print(f"{table(found)}\n\n{summary}" if options.markdown else summary)
    return 1 if unnoticed else 0


def row_of(name: str) -> str:
    """The row that a mutant breaks: its name, or what stands before the slash."""
    return name.partition("/")[0]


def table(found: dict[str, str]) -> str:
    """A Markdown table: row, what was broken and where, the test that noticed."""
    head = ["| row | what was broken | in | noticed by |", "|---|---|---|---|"]
    rows = (
        f"| {name} | {MUTANTS[name].what} | `{MUTANTS[name].file}` | `{test}` |" for name, test in found.items() if test
    )
    return "\n".join([*head, *rows])


def noticed_by(name: str, row_tests: Sequence[Test], copy: Copy) -> str:
    """The test of the row that fails with its mutant and passes without; "" when there is none."""
    mutant = MUTANTS.get(name)
    if mutant is None or not row_tests:
        print(f"NO MUTANT   {name}", file=sys.stderr, flush=True)
        return ""
    if not mutant.fits:
        print(f"NOT THERE   {name}: {mutant.file}", file=sys.stderr, flush=True)
        return ""
    test = next(failing(name, row_tests, copy, mutant), "")
    print(f"{'noticed' if test else 'UNNOTICED':<11} {name:<14} {mutant.what}: {test}", file=sys.stderr, flush=True)
    return test


def failing(name: str, row_tests: Sequence[Test], copy: Copy, mutant: Mutant) -> Iterator[str]:
    """Tests of the row that fail because of the mutant, by file and name."""
    for together in groups(row_tests):
        copy.change(mutant)
        try:
            failed = [node for node in run(together, copy) if concerns(node, row_of(name), together)]
        finally:
            copy.restore(mutant)
        for node in failed[:1]:
            if copy.run("-m", "pytest", "-q", "-p", "no:cacheprovider", node).returncode == 0:
                yield node.partition("[")[0]


def groups(row_tests: Sequence[Test]) -> Iterator[list[Test]]:
    """What is run in one go: first all that start no processes, then each that does."""
    quick = [test for test in row_tests if test.path.parts[0] not in SLOW]
    if quick:
        yield quick
    slow = [test for test in row_tests if test not in quick]
    yield from ([test] for test in sorted(slow, key=lambda test: SLOW.index(test.path.parts[0])))


def run(together: Sequence[Test], copy: Copy) -> list[str]:
    """The failures of these tests, as pytest names them."""
    nodes = [f"tests/{test.path}::{test.name}" for test in together]
    done = copy.run("-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider", *nodes)
    return _FAILED.findall(done.stdout)


def concerns(node: str, name: str, together: Sequence[Test]) -> bool:
    """Whether a failure is one of the row: of a test with rows of parameters only those of this id are."""
    function, _, parameters = node.partition("[")
    of_rows = any(function == f"tests/{test.path}::{test.name}" and name in test.rows for test in together)
    return not of_rows or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", parameters) is not None


if __name__ == "__main__":
    sys.exit(main())
