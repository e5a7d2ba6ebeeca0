"""Fixtures of the process model: instances that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worker_fakes import Instance, until


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """start(count=2, ...) runs a supervisor and returns when each of its processes is ready and serves itself."""
    started: list[Instance] = []

    def run(**options: object) -> Instance:
        instance = Instance(tmp_path / f"log{len(started)}", **options)  # type: ignore[arg-type]
        started.append(instance)
        instance.until_noted("info ready")
        until(lambda: not instance.adoptions(), "all workers serving themselves")
        return instance

    yield run
    for instance in started:
        instance.close()
