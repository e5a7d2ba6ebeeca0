"""What a process logs of what may happen to many records at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from siphon.config.log import Log
from siphon.engine.reports import LINES_PER_SECOND, Reports


@pytest.mark.parametrize("level", ["error", "warn", "note"])
def test_sec_13_a_thousand_records_with_one_fault_are_a_few_lines(tmp_path: Path, level: str) -> None:
    log = Log(file=str(tmp_path / "log"), clock=lambda: 1000.0)
    reports = Reports(log, lambda counter, number=1: None, lambda: None, lambda: None)
    for number in range(1000):
        getattr(reports, level)("bad_record", number.to_bytes(16), error="layout 2, expected 3")
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == LINES_PER_SECOND
    assert all("bad_record" in line and "layout 2, expected 3" in line for line in lines)
