"""Enums without the look-up of older Pythons."""

from enum import Enum, IntFlag

import pytest

from siphon.engine.counters import Counter
from siphon.engine.enums import make_members_cheap
from workers.application import Flag


class Odd(Enum):
    """Members named as the properties of members are."""

    name = 1
    value = 2


@pytest.mark.parametrize("kind", [Counter, Flag, IntFlag("Made", "ONE TWO")])
def test_members_are_found_in_the_class(kind: type[Enum]) -> None:
    make_members_cheap()
    make_members_cheap()
    assert not hasattr(type(kind), "__getattr__")
    assert [getattr(kind, member.name) for member in kind] == list(kind)
    with pytest.raises(AttributeError):
        _ = kind.NOT_THERE  # type: ignore[attr-defined]


def test_members_may_still_be_named_like_properties() -> None:
    make_members_cheap()
    assert (Odd.name.value, Odd.value.name) == (1, "value")
