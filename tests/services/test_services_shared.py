"""Location and nonces over the shared-memory table, changed by several processes at once (SHARED-09, SHARED-10)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from desk import ALICE, Desk
from digest_server import WALL, Server
from phone import Phone

from shm.table import Table
from siphon.services.store import StoreError

T = TypeVar("T")
PROCESSES = 4


@pytest.fixture
def table(tmp_path: Path) -> Any:
    return Table.create(tmp_path / "table", records=512, blocks=1024, slots=8, wall_expiry=True)


def together(work: Callable[[int], int]) -> list[int]:
    """What `work(n)` gives in each of PROCESSES processes that start at the same moment; each result fits a byte."""
    gate_read, gate_write = os.pipe()
    children: list[int] = []
    for n in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            status = 255
            try:
                os.close(gate_write)
                os.read(gate_read, 1)
                status = work(n)
            finally:
                os._exit(status)
        children.append(pid)
    os.close(gate_write)
    os.close(gate_read)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def patiently(call: Callable[[], T]) -> T:
    """What it gives, asked again while another process, which was stopped in the middle of a commit, has the record."""
    for _ in range(1000):
        try:
            return call()
        except StoreError:
            time.sleep(0.01)
    return call()


def test_shared_10_contacts_registered_by_several_processes_at_once_all_survive(table: Any) -> None:
    desk = Desk(table, max_contacts=100)

    def work(n: int) -> int:
        def save(c: int) -> bool:
            result = desk.register(f"<sip:alice@p{n}c{c}.example.net>", call_id=f"{n}")
            if result.status == 503:
                raise StoreError("as a script answers that")
            return bool(result.ok)

        return sum(patiently(partial(save, c)) for c in range(20))

    assert together(work) == [20] * PROCESSES
    assert len(desk.lookup(ALICE)) == 20 * PROCESSES
    assert table.verify().sound


def test_shared_10_of_several_processes_with_one_call_id_the_highest_cseq_is_what_stays(table: Any) -> None:
    desk = Desk(table)

    def work(n: int) -> int:
        results = [desk.register("<sip:alice@h>", cseq=c, transaction=b"%d/%d" % (n, c)) for c in range(1, 41)]
        return sum(result.ok for result in results)

    accepted = together(work)
    assert sum(accepted) <= 40
    assert [b.cseq for b in desk.lookup(ALICE)] == [40]


def test_shared_09_each_nonce_count_is_accepted_by_exactly_one_of_several_processes(table: Any) -> None:
    server = Server(table)
    challenge = server.challenge()
    lines = [Phone().answer(challenge, count=count) for count in range(1, 41)]

    def work(n: int) -> int:
        def accepted(at: int, line: Any) -> bool:
            return bool(patiently(lambda: server.verify(line, transaction=b"%d/%d" % (n, at))).ok)

        return sum(accepted(at, line) for at, line in enumerate(lines))

    accepted = together(work)
    assert 1 <= sum(accepted) <= 40
    assert server.verify(lines[-1]).stale


def test_a_full_shared_nonce_table_goes_on_by_letting_the_oldest_go(tmp_path: Path) -> None:
    table: Any = Table.create(tmp_path / "small", records=64, blocks=64, slots=8, wall_expiry=True)
    server = Server(table)
    wall = WALL
    for _ in range(200):
        wall += 1
        assert server.verify(Phone().answer(server.challenge(wall)), wall=wall).ok
    assert table.verify().sound
