"""docs/conformance.md is current, each row has its tests, and no test names a row that nobody has described."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "conformance.py"))
LISTED = TOOL["listed"]()


def test_each_row_has_a_test_and_the_page_is_current():
    assert TOOL["problems"]() == []


def test_a_row_without_a_test_is_missing_unless_it_is_due_later():
    row = TOOL["Behaviour"]("PRX-43", "RFC", "must", "text")
    later = TOOL["Behaviour"]("PRX-44", "RFC", "must", "text", due="with Redis")
    assert TOOL["cell"](row, []) == "**missing**"
    assert TOOL["cell"](later, []) == "due with Redis"


def test_each_line_of_the_list_is_complete():
    assert len(LISTED) == 297
    for behaviour in LISTED.values():
        assert behaviour.level in TOOL["LEVELS"] and behaviour.source and behaviour.text, behaviour.id
        assert "|" not in behaviour.text + behaviour.source, "would end the cell of the table"


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_prx_44_every_2xx_goes_up", ["PRX-44"]),
        ("test_prx_05_and_06_other_values", ["PRX-05", "PRX-06"]),
        ("test_reg_12_reg_15_reg_25_promises_hold", ["REG-12", "REG-15", "REG-25"]),
        ("test_reg_14_shared_22_the_same_again", ["REG-14", "SHARED-22"]),
        ("test_tor_lwsruri", ["TOR-lwsruri"]),
        ("test_v6_rcv_nodelim_is_understood", ["V6-rcv-nodelim"]),
        ("test_v6_addresses_stand_in_brackets", []),
        ("test_fork_takes_text", []),
        ("test_can_05", ["CAN-05"]),
    ],
)
def test_a_tests_name_says_what_it_shows(name, ids):
    assert TOOL["named"](name, LISTED) == ids


@pytest.mark.parametrize("name", ["test_prx_99_nothing", "test_tor_nosuch_message", "test_prx_05_and_26_gap"])
def test_an_unknown_number_is_an_error(name):
    with pytest.raises(TOOL["UnknownBehaviour"]):
        TOOL["named"](name, LISTED)


def test_a_test_that_is_expected_to_fail_shows_nothing(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "test_a.py").write_text(
        "@pytest.mark.xfail\ndef test_prx_44_x(): ...\ndef test_prx_43_y(): ...\n"
    )
    (tmp_path / "test_b.py").write_text("def test_prx_43_z(): ...\n")
    found = TOOL["shown"](LISTED, TOOL["tests"](tmp_path))
    assert {name: [t.name for t in tests] for name, tests in found.items() if tests} == {
        "PRX-43": ["test_prx_43_y", "test_prx_43_z"]
    }


def test_a_row_of_parameters_names_what_it_begins_with(tmp_path):
    rows = '[("TOR-clerr", 400), ("no id", "TOR-ncl")]'
    (tmp_path / "test_a.py").write_text(f'@pytest.mark.parametrize(("name", "status"), {rows})\ndef test_rows(): ...\n')
    found = TOOL["shown"](LISTED, TOOL["tests"](tmp_path))
    assert {name: [t.name for t in tests] for name, tests in found.items() if tests} == {"TOR-clerr": ["test_rows"]}
