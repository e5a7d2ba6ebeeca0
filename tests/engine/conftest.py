"""Worlds for the engine's tests: real engine, virtual network and clock."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from siphon.testing.world import World

RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(404, "Not Here")
        return
    request.record_route()
    request.relay("sip:127.0.0.2:5090")
"""


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """`make_world(script=RELAY, **settings)`; closed at the end of the test."""
    worlds: list[World] = []

    def make(script: str = RELAY, **options: Any) -> World:
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
