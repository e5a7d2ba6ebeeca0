"""The text that a record keeps of the on_reply callbacks of its attempts (API 7.6)."""

import pytest

from siphon.engine.callbacks import callback_of, with_next_attempt


@pytest.mark.parametrize(
    "attempts",
    [
        [(0, "m:f")],
        [(0, "")],
        [(0, "m:f"), (1, "m:g")],
        [(0, ""), (2, "m:g"), (3, "")],
        [(0, "m:f"), (1, "m:f"), (4, "m:g"), (5, "m:g"), (9, "m:f")],
        [(0, ""), (1, ""), (2, "")],
    ],
)
def test_each_branch_has_the_callback_of_its_attempt(attempts: list[tuple[int, str]]) -> None:
    kept = attempts[0][1]
    for first, name in attempts[1:]:
        kept = with_next_attempt(kept, name, first)
    for index in range(12):
        assert callback_of(kept, index) == [name for first, name in attempts if first <= index][-1]


def test_what_never_changes_is_kept_as_the_name_alone() -> None:
    assert with_next_attempt("", "", 3) == "" and with_next_attempt("m:f", "m:f", 3) == "m:f"
