"""Tables in shared memory of our own, gone after the test."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

import pytest

from shm.table import Table


@pytest.fixture
def folder() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="siphond-test-", dir="/dev/shm")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(folder: str) -> Iterator[Callable[..., Table]]:
    tables: list[Table] = []

    def make_table(**sizes: object) -> Table:
        sizes = {"records": 64, "blocks": 256, "slots": 4, **sizes}
        table = Table.create(os.path.join(folder, "table"), **sizes)  # type: ignore[arg-type]
        tables.append(table)
        return table

    yield make_table
    for table in tables:
        table.close()


@pytest.fixture
def table(make: Callable[..., Table]) -> Table:
    table = make()
    table.slot = 0
    return table
