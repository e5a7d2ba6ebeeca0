"""Kills writers and followers of a table with marks. Prints a report as JSON.

    marks_driver.py AT_POINTS AT_RANDOM FOLLOWERS

AT_POINTS  kills of a writer at each named point (needs the build with points), while this process follows: afterwards
           what was followed is what is in the table.
AT_RANDOM  likewise, at random moments.
FOLLOWERS  kills of a follower at random moments, while two writers go on: what all followers together wrote down, the
           last one of each place, is what is in the table.
"""

import json
import os
import random
import shutil
import signal
import struct
import sys
import time
from collections import Counter

from shm_workload import key_of, scratch_folder, step

from shm import _table
from shm.marks import Marks
from shm.table import Table

RECORDS, KEYS, BLOCKS, SLOTS = 9000, 60, 40000, 8
"""More than two pages of marks; few of the headers are used."""
HEAD = struct.Struct("<II")
POINTS = [
    *("record locked", "blocks taken", "blocks copied", "half marked", "before the switch", "sent"),
    *("after the switch, before the send", "old blocks half freed", "before unlock", "header taken"),
    *("stripe locked", "linked", "dead", "unlinked"),
]


def writer(table: Table, slot: int, seed: int, point: str = "") -> int:
    """Fork a process that changes records until it is killed, at the point if one is named."""
    pid = os.fork()
    if pid:
        return pid
    try:
        table.slot = slot
        dice = random.Random(seed)
        if point:
            _table.arm_point(point, dice.randrange(1, 5), signal.SIGKILL)
        for number in range(1, 1 << 40):
            step(table, slot * KEYS + dice.randrange(KEYS), number, dice.randrange(1500), dice.random() < 0.4)
    finally:
        os._exit(3)


def in_table(table: Table) -> dict[bytes, int]:
    """How often each value lies in it."""
    found: Counter[bytes] = Counter()
    for index in range(SLOTS * KEYS):
        got = table.get(key_of(index))
        assert got is None or isinstance(got, tuple), got
        if got is not None:
            found[got[1]] += 1
    return dict(found)


def follow(marks: Marks, mirror: dict[int, bytes]) -> int:
    places = marks.take(50)
    for place in places:
        mirror.pop(place.number, None)
        if place.value is not None:
            mirror[place.number] = place.value
    marks.done([place.number for place in places])
    return len(places)


def reap(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"ended by itself: {status}"


def kill_writers(table: Table, marks: Marks, rounds: list[str], dice: random.Random) -> int:
    mirror: dict[int, bytes] = {}
    followed = 0
    for number, point in enumerate(rounds):
        pid = writer(table, number % 2, number, point)
        until = time.monotonic() + (60.0 if point else dice.random() * 0.02)
        while time.monotonic() < until and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            followed += follow(marks, mirror)
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        table.recover(number % 2)
        while follow(marks, mirror):
            pass
        # killed between a byte and that of its page: one that nobody looks at, and nothing has been switched
        assert marks.waiting() <= (not point)
        assert dict(Counter(mirror.values())) == in_table(table), point
    return followed


def follower(table: Table, path: str) -> int:
    """Fork a process that appends what it follows to a file until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        table.slot = SLOTS - 1
        marks = Marks(table)
        marks.again()
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        while True:
            for place in marks.take(20):
                value = b"" if place.value is None else place.value
                os.write(file, HEAD.pack(place.number, len(value)) + value)
                marks.done([place.number])
    finally:
        os._exit(3)


def written(paths: list[str]) -> Counter[bytes]:
    """The last value of each place. What a follower was writing when it was killed may be cut short."""
    mirror: dict[int, bytes] = {}
    for path in filter(os.path.exists, paths):
        with open(path, "rb") as file:
            data = file.read()
        at = 0
        while at + HEAD.size <= len(data):
            number, length = HEAD.unpack_from(data, at)
            at += HEAD.size + length
            if at <= len(data):
                mirror[number] = data[at - length : at]
    return Counter(value for value in mirror.values() if value)


def kill_followers(table: Table, path: str, rounds: int, dice: random.Random) -> int:
    pids = [writer(table, slot, slot) for slot in (0, 1)]
    paths = [f"{path}.{number}" for number in range(rounds + 1)]
    for own in paths[:-1]:
        pid = follower(table, own)
        time.sleep(dice.random() * 0.01)
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        table.recover(SLOTS - 1)
    for slot, pid in enumerate(pids):
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        table.recover(slot)
    last = follower(table, paths[-1])
    until = time.monotonic() + 90
    while Marks(table).waiting() and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(last, signal.SIGKILL)
    reap(last)
    found = written(paths)
    assert dict(found) == in_table(table)
    return sum(found.values())


def main() -> None:
    at_points, at_random, followers = map(int, sys.argv[1:])
    folder = scratch_folder()
    try:
        print(json.dumps(report(f"{folder}/table", at_points, at_random, followers)))
    finally:
        shutil.rmtree(folder)


def report(path: str, at_points: int, at_random: int, followers: int) -> dict[str, int]:
    """How many were killed, and how much was followed all the same."""
    dice = random.Random(1)
    rounds = [point for point in POINTS for _ in range(at_points)] + [""] * at_random
    table = marked(path)
    marks = Marks(table)
    marks.clear()
    found = {"kills": len(rounds), "followed": kill_writers(table, marks, rounds, dice)}
    table.close()
    table = marked(path)
    found |= {"followers": followers, "records": kill_followers(table, f"{path}.log", followers, dice)}
    table.close()
    return found


def marked(path: str) -> Table:
    """A new table with marks."""
    return Table.create(path, records=RECORDS, blocks=BLOCKS, slots=SLOTS, marked=True, fresh=True)


if __name__ == "__main__":
    main()
