"""docs/transactions.md follows the tables."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_the_state_tables_is_current() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "state_tables.py"))["page"]()
    assert (ROOT / "docs" / "transactions.md").read_text() == page, "run: python tools/state_tables.py"
