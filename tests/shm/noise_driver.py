"""Random bytes into a table at work. Prints a report as JSON.

    noise_driver.py alone|beside BLOCK_BYTES [FIRST_SEED SEEDS]

alone   one process writes noise and works by turns.
beside  two processes work while this one writes noise over what they use.
Whatever is read is a value that was written under its key, or absent, or BUSY; nobody crashes, hangs or raises; after
an exclusive start the table is sound.
"""

import ctypes
import json
import os
import random
import signal
import sys
import time
from collections import Counter

import shm_workload
from shm_workload import count_in, key_of, scratch_folder, value_of

from shm.table import BUSY, Table

KEYS = 40
SECTIONS = ("headers", "headers", "buckets", "states", "blocks", "notes", "stripes")


def create(path: str, fresh: bool = False) -> Table:
    block_bytes = int(sys.argv[2])
    blocks = 1024 * 512 // block_bytes
    return Table.create(path, records=256, blocks=blocks, slots=4, fresh=fresh, block_bytes=block_bytes)


def strike(table: Table, dice: random.Random) -> None:
    start, size, count = table.sections()[dice.choice(SECTIONS)]
    data = dice.randbytes(dice.choice((1, 1, 4, 8, 40)))
    at = dice.randrange(size * count - len(data))
    ctypes.memmove(table.c_address + start + at, data, len(data))


def one(table: Table, dice: random.Random, number: int) -> str:
    """One operation on one record: what it answered. An AssertionError is a lie."""
    index = dice.randrange(KEYS)
    choice = dice.random()
    if choice < 0.02:
        table.expire(1.0, 10)
        return "swept"
    if choice < 0.03:
        table.recover(3)
        return "recovered"
    if choice < 0.04:
        table.verify()
        return "verified"
    if choice < 0.06:
        for key, _, _ in table.due(1, 1e9, 100) + table.owned(1):
            found = table.get(key)
            assert found is None or found == BUSY or isinstance(found, tuple)
        return "listed"
    done = shm_workload.step(table, index, number, dice.randrange(2000), choice < 0.3)
    return shm_workload.ANSWERS.get(done, "done")


def check_all(table: Table) -> None:
    view = Table.view(table.path)
    for index in range(KEYS):
        for found in (table.get(key_of(index)), view.get(key_of(index))):
            if isinstance(found, tuple):
                count_in(index, found[1])


def alone(path: str, seeds: range) -> Counter[str]:
    met: Counter[str] = Counter()
    for seed in seeds:
        dice = random.Random(seed)
        table = create(path, seed % 3 == 0)
        table.slot = seed % 4
        for index in range(KEYS):
            if table.get(key_of(index)) is None:
                table.commit(key_of(index), 0, value_of(index, 1, dice.randrange(2000)), owner=1, next_deadline=1.0)
        for number in range(1500):
            if number % 30 == 0:
                strike(table, dice)
                met["strikes"] += 1
            met[one(table, dice, seed << 32 | number)] += 1
        check_all(table)
        met["corrupt"] += table.stats().corrupt
        table.close()
        table = create(path)
        assert table.verify().sound, table.verify()
        check_all(table)
        table.close()
    return met


def labour(table: Table, slot: int, seed: int) -> int:
    """Work until told to end."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    ending: list[int] = []
    try:
        signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
        signal.alarm(300)
        table.slot = slot
        dice = random.Random(seed)
        number = seed << 40
        while not ending:
            number += 1
            one(table, dice, number)
        status = 0
    finally:
        os._exit(status)


def beside(path: str, seeds: range) -> Counter[str]:
    met: Counter[str] = Counter()
    for seed in seeds:
        dice = random.Random(seed)
        table = create(path, True)
        pids = [labour(table, slot, seed * 2 + slot) for slot in (0, 1)]
        for _ in range(200):
            strike(table, dice)
            met["strikes"] += 1
            time.sleep(0.0003)
        until = time.monotonic() + 3  # who was not scheduled meanwhile has met nothing yet
        while table.stats().corrupt < 15 and time.monotonic() < until:
            time.sleep(0.001)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            status = os.waitpid(pid, 0)[1]
            met["wrong"] += status != 0
            if status:
                print(f"a process ended with {status}", file=sys.stderr)
        met["corrupt"] += table.stats().corrupt
        table = create(path)
        assert table.verify().sound, table.verify()
        check_all(table)
    return met


def main() -> None:
    first, count = (int(word) for word in sys.argv[3:5]) if len(sys.argv) > 3 else (0, 20)
    signal.alarm(60 + 20 * count)
    path = f"{scratch_folder()}/noise"
    try:
        met = (alone if sys.argv[1] == "alone" else beside)(path, range(first, first + count))
    finally:
        for name in os.listdir(scratch_folder()):
            os.unlink(f"{scratch_folder()}/{name}")
        os.rmdir(scratch_folder())
    print(json.dumps({"wrong": 0, **met}))


if __name__ == "__main__":
    main()
