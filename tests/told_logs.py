"""What the programs of a failed test have said: the end of each log in its directory is part of the report.

The directory of a test is gone where a machine was made for one run, and a failure that a machine shows once is seldom
shown again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("*.log", "output")
LINES = 40
MOST = 6
"""So many logs of a test, the newest."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    place = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and place is not None:
        report.sections += [(f"the end of {path.relative_to(place)}", end_of(path)) for path in logs_in(place)]
    return report


def logs_in(place: Path) -> list[Path]:
    found = [path for name in NAMES for path in place.rglob(name) if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime)[-MOST:]


def end_of(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LINES:])
