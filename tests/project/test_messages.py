"""What messages say to whoever has to act on them."""

import re
from pathlib import Path

FULL = re.compile(r'StoreError\(f?"([^"]*is full[^"]*)"')


def test_a_full_table_names_the_setting_that_makes_it_larger():
    files = Path(__file__).parents[2].joinpath("siphon").rglob("*.py")
    found = [text for file in files for text in FULL.findall(file.read_text())]
    assert len(found) > 8 and [text for text in found if "shared.max_" not in text] == []
