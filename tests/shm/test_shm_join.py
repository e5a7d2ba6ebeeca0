"""Table.join: what the next siphond of an upgrade does with a table that is in use."""

from pathlib import Path

import pytest

from shm.table import LayoutMismatch, Table

KEY = b"k" * 16
SIZES = {"records": 64, "blocks": 64, "slots": 4}


def test_a_join_sees_and_changes_what_the_others_have_and_makes_nothing_anew(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "table", **SIZES)
    table.slot = 0
    version = table.commit(KEY, 0, b"value", owner=0)
    joined = Table.join(tmp_path / "table", **SIZES)
    joined.slot = 1
    assert joined.get(KEY) == (version, b"value")
    later = joined.commit(KEY, version, b"other", owner=1)
    assert table.get(KEY) == (later, b"other")
    assert table.slot == 0, "nobody was thrown out of its slot"
    assert table.verify().sound


@pytest.mark.parametrize("change", [{"records": 65}, {"blocks": 128}, {"boot_id": b"b" * 16}, {"wall_expiry": True}])
def test_a_join_of_another_size_or_kind_is_refused_without_advice_to_throw_it_away(
    tmp_path: Path, change: dict[str, int]
) -> None:
    Table.create(tmp_path / "table", **SIZES)
    with pytest.raises(LayoutMismatch) as caught:
        Table.join(tmp_path / "table", **{**SIZES, **change})
    assert "--fresh" not in str(caught.value)


def test_a_table_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Table.join(tmp_path / "table", **SIZES)
    assert not (tmp_path / "table").exists()
