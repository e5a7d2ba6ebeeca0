"""Worlds for the engine's tests: real engine, virtual network and clock."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from call_scripts import IN_DIALOG

from siphon.testing.world import World

RELAY = (
    IN_DIALOG
    + """
    request.record_route()
    request.relay("sip:127.0.0.2:5090")
"""
)


@pytest.fixture(params=["at once", "late"])
def make_world(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    """`make_world(script=RELAY, **settings)`; closed at the end. Each test runs on a store that answers at once, and on
    one whose answers come late and out of order."""
    worlds: list[World] = []

    def make(script: str = RELAY, **options: Any) -> World:
        options.setdefault("late", Random(7) if request.param == "late" else None)
        worlds.append(World(script, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        assert not [error for worker in world.workers for error in worker.errors]
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Two workers, a script that relays to 127.0.0.2:5090."""
    return make_world()
