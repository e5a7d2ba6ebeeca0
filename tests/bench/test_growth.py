"""The growth of CPU a call, by workers and by transactions: measured over real servers, its figures not judged."""

import json

import growth
import page
import pytest
from test_bench import TINY, bench


def test_growth_is_measured_printed_and_put_into_a_page(tmp_path):
    file, text = tmp_path / "growth.json", tmp_path / "page.md"
    asked = ["--growth", "--sides", "siphond", "--growth-workers", "1,2", "--growth-transactions", "20,300"]
    done = bench(*TINY, *asked, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())["growth"]
    assert [(row["workers"], row["side"]) for row in found[growth.WORKERS]] == [(1, "siphond"), (2, "siphond")]
    assert all(row["cpu_us"] > 0 and row["saturated_cpu_us"] > 0 for row in found[growth.WORKERS])
    few, many = found[growth.TRANSACTIONS]
    assert (few["wanted"], many["wanted"]) == (20, 300)
    assert many["before"] > few["before"] > 0, "the table is filled before the load"
    text.write_text(f"{page.GROWTH_BEGIN}\n{page.GROWTH_END}\n")
    assert bench("--from", file, "--fill", text).returncode == 0
    assert "Growth by transactions:" in text.read_text() and "| 300" in text.read_text()


def test_what_the_warm_up_leaves_is_waited_for_until_no_more_is_there_than_is_wanted(monkeypatch):
    held, slept = [1220, 1220, 90], []
    monkeypatch.setattr(growth, "live", lambda bench: held.pop(0))
    monkeypatch.setattr(growth.time, "sleep", slept.append)
    growth.until_gone(None, 100)
    assert not held and len(slept) == 2


def test_a_row_is_compared_with_the_first_of_its_side_and_says_when_records_were_short():
    load = {"saturated_cpu_us": 50.0, "saturated_rate": 1000.0}
    spent = (("a", 1, 10.0), ("b", 1, 9.0), ("a", 2, 20.0), ("b", 2, 9.0))
    rows = [{"workers": n, "side": side, "cpu_us": cpu} | load for side, n, cpu in spent]
    kept = {"cpu_us": 60.0, "p99_ms": 1.0}
    tables = growth.cells(
        {
            growth.WORKERS: rows,
            growth.TRANSACTIONS: [
                {"wanted": 100, "before": 100, "after": 300} | kept,
                {"wanted": 1000, "before": 1000, "after": 500} | kept,
            ],
        }
    )
    assert [(row[1], row[3]) for row in tables[growth.WORKERS]] == [
        ("a", "1.00"), ("b", "1.00"), ("a", "2.00"), ("b", "1.00"),
    ]  # fmt: skip
    assert [row[0] for row in tables[growth.TRANSACTIONS]] == ["100", "1000 (short)"]


def test_numbers_of_an_option_are_above_zero():
    assert growth.numbers("1,2,4") == (1, 2, 4)
    with pytest.raises(ValueError, match="not above zero"):
        growth.numbers("0,1")
