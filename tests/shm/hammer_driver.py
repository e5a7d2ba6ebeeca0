"""Processes that work on the same few records of one table. Prints a report as JSON.

    hammer_driver.py PROCESSES ROUNDS BLOCK_BYTES

Every value carries its checksum and the number of its predecessor plus one; the action of a commit checks, in memory of
its own, that commits send in their order. At the end the sum of the numbers is the sum of the commits.
"""

import ctypes
import json
import mmap
import os
import random
import struct
import sys
from collections import Counter

from shm_workload import ANSWERS, count_in, key_of, scratch_folder, value_of

from shm.table import BUSY, CONFLICT, Action, Table

SHARED, LOOSE = 8, 40  # records that are only replaced, records that come and go
WORD = struct.Struct("<Q")

sends = mmap.mmap(-1, 4096)
sending = [0, 0]
faults: list[str] = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def send(_argument: int | None) -> int:
    index, count = sending
    (last,) = WORD.unpack_from(sends, index * 8)
    if last != count - 1:
        faults.append(f"record {index}: {count} was sent after {last}")
    WORD.pack_into(sends, index * 8, count)
    return 0


ACTION = Action(ctypes.cast(send, ctypes.c_void_p).value or 0, 0)


def replace_shared(table: Table, index: int, length: int) -> int:
    found = table.get(key_of(index))
    if found == BUSY:
        return BUSY
    version, count = (found[0], count_in(index, found[1]) + 1) if isinstance(found, tuple) else (0, 1)
    sending[:] = [index, count]
    return table.commit(key_of(index), version, value_of(index, count, length), owner=1, action=ACTION)


def work(table: Table, slot: int, rounds: int) -> Counter[str]:
    table.slot = slot
    dice = random.Random(slot)
    met: Counter[str] = Counter()
    held: dict[int, tuple[int, bytes]] = {}
    for number in range(rounds):
        if number % 2:
            done = replace_shared(table, dice.randrange(SHARED), dice.randrange(2500))
            met["replaced"] += done > 0
        else:  # records of this process alone, between those of others in the same buckets
            index = SHARED + LOOSE * slot + dice.randrange(LOOSE)
            found = table.get(key_of(index))
            assert found == BUSY or found == held.get(index), f"record {index} has changed by itself"
            if found == BUSY:
                done = BUSY
            elif isinstance(found, tuple) and dice.random() < 0.5:
                done = table.delete(key_of(index), found[0])
                if done > 0:
                    del held[index]
            else:
                value = value_of(index, number, dice.randrange(2500))
                done = table.commit(key_of(index), found[0] if isinstance(found, tuple) else 0, value, owner=slot)
                if done > 0:
                    held[index] = (done, value)
            assert done != CONFLICT
        met[ANSWERS.get(done, "done")] += 1
    assert not faults, faults
    return met


def main() -> None:
    processes, rounds, block_bytes = (int(word) for word in sys.argv[1:4])
    path = f"{scratch_folder()}/hammer"
    sizes = {"records": 512, "blocks": 2048 * 512 // block_bytes, "block_bytes": block_bytes}
    table = Table.create(path, **sizes, slots=processes + 1, fresh=True)
    waiting, begin = os.pipe()
    children = []
    total: Counter[str] = Counter()
    try:
        for slot in range(processes):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.close(begin)
                    os.read(waiting, 1)  # until all are there: they shall meet
                    os.write(writing, json.dumps(work(table, slot, rounds)).encode())
                    status = 0
                finally:
                    os._exit(status)
            os.close(writing)
            children.append((pid, reading))
        os.close(begin)
        for pid, reading in children:
            assert os.waitpid(pid, 0)[1] == 0, "a process failed"
            total.update(json.loads(os.read(reading, 4096)))
        for slot in range(processes):
            assert table.recover(slot).complete
        report = table.verify()
        assert report.sound and report.blocks_free + report.blocks_used == table.stats().blocks_max, report
        counts = 0
        for index in range(SHARED):
            found = table.get(key_of(index))
            assert isinstance(found, tuple)
            counts += count_in(index, found[1])
        assert counts == total["replaced"], f"{counts} versions of {total['replaced']} commits"
        assert table.stats().corrupt == 0
    finally:
        os.unlink(path)
        os.rmdir(scratch_folder())
    print(json.dumps({**total, "inherited": table.stats().inherited}))


if __name__ == "__main__":
    main()
