"""Kills processes that work on a table, and looks at the table after each kill. Prints a report as JSON.

    kill_driver.py AT_POINTS AT_RANDOM BESIDE BLOCK_BYTES

AT_POINTS  kills at each named point (needs the build with points), the process alone: afterwards every record is
           exactly what it acknowledged, or what it was just writing, and every block is accounted for.
AT_RANDOM  kills at random moments, likewise.
BESIDE     kills at points and random moments by turns, while two neighbours go on working: they must meet no torn value
           and wait for no lock.
"""

import ctypes
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
from collections import Counter

import shm_workload
from shm_workload import count_in, key_of, scratch_folder, value_of

from shm import _table
from shm.table import BUSY, Action, SlotTaken, Table

RECORDS, KEYS, BLOCKS, SLOTS = 64, 40, 512, 8
DELETED = 0
CELL = struct.Struct(
    "<QQQ"
)  # of each key: the count acknowledged, the one attempted (0 = no record), whether it was sent
MAX_STUCK = 0.010


class Diary:
    """What a process says about each key before and after it acts, in memory that outlives it."""

    def __init__(self) -> None:
        self.pages = mmap.mmap(-1, 65536)

    def read(self, index: int) -> tuple[int, int, int]:
        acked, attempted, sent = CELL.unpack_from(self.pages, index * CELL.size)
        return acked, attempted, sent

    def write(self, index: int, place: int, count: int) -> None:
        struct.pack_into("<Q", self.pages, index * CELL.size + place * 8, count)


diary = Diary()
sending = [0]


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def send(_argument: int | None) -> int:
    diary.write(sending[0], 2, 1)
    return 0


ACTION = Action(ctypes.cast(send, ctypes.c_void_p).value or 0, 0)


def work(table: Table, dice: random.Random, count: int) -> None:
    """Insert, replace and delete until killed."""
    while True:
        count += 1
        index = dice.randrange(KEYS)
        key = key_of(index)
        found = table.get(key)
        assert found != BUSY
        deleting = isinstance(found, tuple) and dice.random() < 0.3
        diary.write(index, 2, 0)
        diary.write(index, 1, DELETED if deleting else count)
        sending[0] = index
        if deleting and isinstance(found, tuple):
            done = table.delete(key, found[0], action=ACTION)
        else:
            value = value_of(index, count, dice.randrange(3000))
            done = table.commit(key, found[0] if isinstance(found, tuple) else 0, value, owner=1, action=ACTION)
        assert done > 0, done
        diary.write(index, 0, DELETED if deleting else count)


def worker(table: Table, slot: int, point: str, seed: int, count: int) -> int:
    """Fork a process that works in the slot until it is killed, at the point if one is named."""
    pid = os.fork()
    if pid:
        return pid
    try:
        table.slot = slot
        dice = random.Random(seed)
        if point != "nowhere":
            _table.arm_point(point, dice.randrange(1, 4), signal.SIGKILL)
        work(table, dice, count)
    finally:
        os._exit(3)


def reap(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"ended by itself: {status}"


def sleeps() -> int:
    """How often this process has gone to sleep by itself, as it does when it waits for a lock."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def check_records(table: Table) -> float:
    """Every record is what was acknowledged or what was attempted; what was sent is committed. The longest wait."""
    longest = 0.0
    for index in range(KEYS):
        acked, attempted, sent = diary.read(index)
        slept, before = sleeps(), time.perf_counter()
        found = table.get(key_of(index))
        if sleeps() != slept:  # else the scheduler may have run others, but no lock was waited for
            longest = max(longest, time.perf_counter() - before)
        assert found != BUSY, f"record {index} is stuck"
        count = count_in(index, found[1]) if isinstance(found, tuple) else DELETED
        assert count in (acked, attempted), f"record {index} is {count}, not {acked} or {attempted}"
        assert count == attempted or not sent, f"record {index}: {attempted} was sent, {count} is there"
        for place in (0, 1):
            diary.write(index, place, count)
        diary.write(index, 2, 0)
    return longest


def check_whole(table: Table) -> None:
    report = table.verify()
    assert report.sound, report
    assert report.blocks_free + report.blocks_used == table.stats().blocks_max and report.blocks_at_hand == 0, report
    assert report.headers_free + report.records == RECORDS and report.quarantined == 0, report
    assert table.stats().corrupt == 0, table.stats()


def kill_recovery(table: Table, slot: int, point: str, tally: Counter[str]) -> None:
    """The process that puts the slot right is killed at the point; one that does not pass it is not."""
    pid = os.fork()
    if pid == 0:
        try:
            _table.arm_point(point, 1, signal.SIGKILL)
            table.recover(slot)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        tally[point] += 1


def one_kill(table: Table, point: str, seed: int, tally: Counter[str], count: int) -> float:
    recovering = point.startswith("recovery")
    pid = worker(table, 0, "nowhere" if recovering else point, seed, count)
    if point == "nowhere" or recovering:
        time.sleep(random.Random(seed).uniform(0.0005, 0.0025))
        os.kill(pid, signal.SIGKILL)
    reap(pid)
    if recovering:
        kill_recovery(table, 0, point, tally)
    else:
        tally[point] += 1
    longest = check_records(table)  # before recovery: nobody waits for it
    before = time.perf_counter()
    report = table.recover(0)
    tally["recovery us"] = max(tally["recovery us"], int((time.perf_counter() - before) * 1e6))
    assert report.complete and not report.alive, report
    assert table.recover(0).blocks == 0
    check_whole(table)
    return max(longest, check_records(table))


def kill_alone(table: Table, each_point: int, at_random: int) -> dict[str, object]:
    tally: Counter[str] = Counter()
    longest, number = 0.0, 0
    points = [p for p in _table.POINTS if p != "nowhere"] if each_point else []
    for point in points:
        while tally[point] < each_point:
            number += 1
            longest = max(longest, one_kill(table, point, number, tally, number << 32))
    for _ in range(at_random):
        number += 1
        longest = max(longest, one_kill(table, "nowhere", number, tally, number << 32))
    assert longest < MAX_STUCK, f"a lock was held for {longest}"
    recovery = tally.pop("recovery us", 0)
    return {"kills": number, "points": {p: tally[p] for p in points}, "at random": tally["nowhere"],
            "longest wait us": int(longest * 1e6), "longest recovery us": recovery}  # fmt: skip


def neighbour(table: Table, slot: int, report: int) -> None:
    """Work on all keys until told to end; say what was met."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
    met: Counter[str] = Counter()
    longest = 0.0
    dice = random.Random(slot)
    count = slot << 40
    table.slot = slot
    while not ending:
        for _ in range(20):
            count += 1
            before = time.thread_time()
            done = shm_workload.step(table, dice.randrange(KEYS), count, dice.randrange(2000), dice.random() < 0.2)
            longest = max(longest, time.thread_time() - before)
            met[shm_workload.ANSWERS.get(done, "done")] += 1
        time.sleep(0.001)
    table.close()
    os.write(report, json.dumps({**met, "longest cpu us": int(longest * 1e6)}).encode())


def start_neighbour(table: Table, slot: int) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    status = 3
    try:
        neighbour(table, slot, writing)
        status = 0
    finally:
        os._exit(status)


def end_neighbour(pid: int, reading: int) -> dict[str, int]:
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"a neighbour failed: {status}"
    met: dict[str, int] = json.loads(os.read(reading, 4096))
    return met


def restless(table: Table, slot: int, seed: int, point: str) -> int:
    """A process that works beside others, to be killed at any moment or at the point."""
    pid = os.fork()
    if pid:
        return pid
    try:
        table.slot = slot
        dice = random.Random(seed)
        if point != "nowhere":
            _table.arm_point(point, dice.randrange(1, 4), signal.SIGKILL)
        count = seed << 20
        while True:
            count += 1
            shm_workload.step(table, dice.randrange(KEYS), count, dice.randrange(2000), dice.random() < 0.2)
    finally:
        os._exit(3)


def patient_get(table: Table, key: bytes) -> tuple[float, tuple[int, bytes] | None]:
    """A record, however often a live holder that was not scheduled made it BUSY."""
    before = time.perf_counter()
    while True:
        found = table.get(key)
        if not isinstance(found, int):
            return time.perf_counter() - before, found
        assert time.perf_counter() - before < 30, "a lock is stuck"


def kill_beside(table: Table, kills: int) -> dict[str, object]:
    neighbours = [start_neighbour(table, slot) for slot in (4, 5)]
    points = [p for p in _table.POINTS if not p.startswith("recovery")] if _table.HAS_POINTS else ["nowhere"]
    for number in range(kills):
        point = points[number % len(points)]
        pid = restless(table, 1, number, point)
        if point == "nowhere":
            time.sleep(random.Random(number).uniform(0.0005, 0.003))
            os.kill(pid, signal.SIGKILL)
        reap(pid)
        report = table.recover(1)
        assert report.complete, report
        verdict = table.verify()
        assert verdict.blocks_lost == 0 and verdict.bad_records == 0 and verdict.unreachable == 0, verdict
        for index in range(KEYS):
            _, found = patient_get(table, key_of(index))
            if found:
                count_in(index, found[1])
    met = [end_neighbour(*each) for each in neighbours]
    for slot in range(SLOTS):
        assert table.recover(slot).complete
    check_whole(table)
    return {"kills": kills, "neighbours": met}


def main() -> None:
    each_point, at_random, beside, block_bytes = (int(word) for word in sys.argv[1:5])
    sizes = {"records": RECORDS, "blocks": BLOCKS * 512 // block_bytes, "slots": SLOTS, "block_bytes": block_bytes}
    path = f"{scratch_folder()}/kill"
    table = Table.create(path, **sizes, fresh=True)
    try:
        report = {"alone": kill_alone(table, each_point, at_random)}
        table.close()
        table = Table.create(path, **sizes)  # an exclusive start goes on with what is there
        check_records(table)
        report["beside"] = kill_beside(table, beside)
    finally:
        for name in os.listdir(scratch_folder()):
            os.unlink(f"{scratch_folder()}/{name}")
        os.rmdir(scratch_folder())
    print(json.dumps(report))


if __name__ == "__main__":
    try:
        main()
    except SlotTaken as error:
        sys.exit(f"slot: {error}")
