"""The lists of mutants: what they change is still there, and they are about rows that are."""

from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


def test_what_a_mutant_of_the_simulator_changes_is_still_there(tools):
    from mutants import MUTANTS, NODE_MUTANTS

    assert [mutant.what for mutant in (*MUTANTS, *NODE_MUTANTS) if not mutant.fits] == []


def test_the_test_that_a_mutant_names_is_there(tools):
    from mutants import MUTANTS, NODE_MUTANTS

    named = [mutant.test for mutant in (*MUTANTS, *NODE_MUTANTS) if mutant.test]
    assert named and [name for name in named if not (TOOLS.parent / name).is_file()] == []


def test_what_breaks_a_row_is_still_there(tools):
    from broken_rows import LISTS, MUTANTS, row_of
    from conformance import listed, shown, tests

    assert [name for name, mutant in MUTANTS.items() if not mutant.fits] == []
    by_id = shown(listed(), tests())
    assert [name for name in MUTANTS if not by_id.get(row_of(name))] == []
    assert len(MUTANTS) == sum(len(mutants) for mutants in LISTS)
    assert [name for name in MUTANTS if "/" in name and row_of(name) not in MUTANTS] == []


def test_a_row_that_is_broken_has_tests_and_its_place_on_the_page(tools):
    from broken import MUTANTS
    from conformance import listed, shown, tests

    by_id = shown(listed(), tests())
    assert [name for name in MUTANTS if not by_id.get(name)] == []
    page = (TOOLS.parent / "docs" / "broken-rows.md").read_text()
    named = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")][1:]
    assert named == sorted(MUTANTS)
    assert [name for name, mutant in MUTANTS.items() if f"| {name} | {mutant.what} |" not in page] == []
