"""Deadlines that a process has armed for a sibling, and the sibling is back (workers/adoption.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from siphon.engine.application import HAND_OVER_SECS, Engine

KEY, SIBLING, HELPER = b"k" * 16, 0, 4


@pytest.fixture
def helper() -> tuple[Engine, dict[str, Any]]:
    """The timer helper's engine, and what it knows and does: `head` of the record, `armed`, `fired`."""
    world: dict[str, Any] = {"head": (7, SIBLING), "armed": [], "fired": []}
    engine = Engine.__new__(Engine)
    engine.far, engine.failed = None, []
    engine.left, engine.stalled = {}, False
    timers = SimpleNamespace(arm=lambda *entry: world["armed"].append(entry))
    engine.context = SimpleNamespace(slot=HELPER, adopted=set(), is_helper=True, timers=timers)
    engine.store = SimpleNamespace(head=lambda key: world["head"])
    engine.core = SimpleNamespace(process=lambda event: world["fired"].append(event.key))
    engine.env = SimpleNamespace(owner=HELPER)
    engine.reports = SimpleNamespace(count=lambda *_: None)
    return engine, world


def test_a_deadline_of_a_sibling_that_is_back_is_left_to_it(helper: tuple[Engine, dict[str, Any]]) -> None:
    engine, world = helper
    engine.due([(KEY, 7)], 100.0)
    assert world["fired"] == [] and world["armed"] == [(100.0 + HAND_OVER_SECS, KEY, 7)]
    world["head"] = (8, SIBLING)  # it has fired it
    engine.due([(KEY, 7)], 100.3)
    assert world["fired"] == [] and not engine.left


def test_a_deadline_that_the_sibling_does_not_know_of_is_fired_all_the_same(
    helper: tuple[Engine, dict[str, Any]],
) -> None:
    engine, world = helper
    engine.due([(KEY, 7)], 100.0)
    engine.due([(KEY, 7)], 100.3)
    assert world["fired"] == [KEY] and engine.env.owner == SIBLING and not engine.left


def test_what_the_rings_drop_as_past_is_not_remembered_for_ever(helper: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = helper
    engine.due([(KEY, 7)], 100.0)
    assert len(engine.left) == 1
    engine.due([(b"l" * 16, 7)], 100.0 + 3 * HAND_OVER_SECS)
    assert list(engine.left) == [(b"l" * 16, 7)]
