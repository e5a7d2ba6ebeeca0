"""A process is stopped (SIGSTOP) at a named point, then killed. Prints a report as JSON.

Meanwhile others wait at most a little over 1 ms; after its death nothing is held.
"""

import json
import os
import random
import signal
import time
from collections import Counter

import kill_driver
from kill_driver import KEYS, check_records, check_whole
from shm_workload import key_of, scratch_folder, value_of

from shm import _table
from shm.table import BUSY, Table

POINTS = [p for p in _table.POINTS if p != "nowhere" and not p.startswith("recovery")]


def stopped_worker(table: Table, point: str, seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            table.slot = 0
            _table.arm_point(point, 2, signal.SIGSTOP)
            kill_driver.work(table, random.Random(seed), seed << 32)
        finally:
            os._exit(3)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    return pid


def read_all(table: Table) -> tuple[int, float]:
    """How many records answer BUSY, and the longest wait: for each record the shortest of some, for between two looks
    at the clock the scheduler may have run others."""
    busy, longest = 0, 0.0
    for index in range(KEYS):
        waits: list[float] = []
        while not waits or (min(waits) > 0.01 and len(waits) < 10):
            before = time.perf_counter()
            is_busy = table.get(key_of(index)) == BUSY
            waits.append(time.perf_counter() - before)
        busy += is_busy
        longest = max(longest, min(waits))
    return busy, longest


def main() -> None:
    path = f"{scratch_folder()}/stop"
    table = Table.create(path, records=64, blocks=512, slots=8, fresh=True)
    table.slot = 5
    met: Counter[str] = Counter()
    freed: dict[str, list[float]] = {point: [] for point in POINTS}
    longest = 0.0
    try:
        for number, point in enumerate(POINTS * 3, start=1):
            pid = stopped_worker(table, point, number)
            since = table.critical_since(0)
            assert 0.0 < since <= time.clock_gettime(time.CLOCK_BOOTTIME), since
            alive = table.recover(0)
            assert alive.alive and alive.blocks == 0
            busy, wait = read_all(table)
            longest = max(longest, wait)
            met["busy"] += busy
            met["stopped"] += 1
            other = key_of(1000 + number)
            done = table.commit(other, 0, value_of(1000 + number, 1, 100), owner=2)
            met["other commits"] += done > 0
            if done > 0:
                while table.delete(other, done) == BUSY:  # the bucket's stripe may be the stopped one's
                    os.kill(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            before = time.perf_counter()
            assert read_all(table)[0] == 0, "a dead process holds a lock"
            freed[point].append(time.perf_counter() - before)
            check_records(table)
            assert table.recover(0).complete
            table.slot = 5  # gives back what it keeps at hand
            table.slot = 6
            check_whole(table)
    finally:
        os.unlink(path)
        os.rmdir(scratch_folder())
    slowest = max(min(times) for times in freed.values())  # the best of three at each point
    print(json.dumps({**met, "longest wait us": int(longest * 1e6), "freed us": int(slowest * 1e6)}))


if __name__ == "__main__":
    main()
