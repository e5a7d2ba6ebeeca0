"""What the journal of the location table costs and gives back.

    .venv/bin/python bench/journal_bench.py [--bindings N] [--directory DIR]

marks     a commit with and without marks, from Python, best of several runs; a look for changes where there are none
journal   the whole table written as a new journal, in one go and in the keeper's steps, and how long a commit of
          another process takes meanwhile (a worker's REGISTER is one such commit and a few hints)
restore   that journal put into an empty table, as a start after a reboot does

Times are CPU seconds of this process except where wall is said: the machine's other work does not count.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shm.marks import Marks  # noqa: E402
from shm.table import Table  # noqa: E402
from siphon.services.journal.copy import new_head, write_whole  # noqa: E402
from siphon.services.journal.file import JournalFile  # noqa: E402
from siphon.services.journal.frames import FIRST  # noqa: E402
from siphon.services.journal.keeper import Keeper  # noqa: E402
from siphon.services.journal.reading import Newest, Walk, place_of  # noqa: E402
from siphon.services.location import AddressRecord, Binding  # noqa: E402
from siphon.services.location.index import OWNER as HINTS  # noqa: E402
from siphon.services.location.records import Records  # noqa: E402
from siphon.services.location.restore import Restoration  # noqa: E402
from siphon.services.store import record_key  # noqa: E402

SECRET = b"k" * 32
RUNS = 7


class Quiet:
    """A log."""

    def info(self, event: str, /, **fields: object) -> None: ...

    def warn(self, event: str, /, **fields: object) -> None:
        print(event, fields)

    error = warn


def binding(number: int, wall: float) -> Binding:
    """As a phone's REGISTER makes one."""
    return Binding(
        uri=f"sip:user{number}@192.0.2.{number % 250}:{5060 + number % 1000};ob",
        q=1.0,
        params=(("+sip.instance", f'"<urn:uuid:00000000-0000-1000-8000-{number:012x}>"'), ("reg-id", "1")),
        instance=f"<urn:uuid:00000000-0000-1000-8000-{number:012x}>",
        reg_id="1",
        call_id=f"{number:032x}@192.0.2.1",
        cseq=17,
        expiry=wall + 3600,
        refreshed=wall,
        path=("<sip:edge.example.com;lr>",),
        transport="udp",
        source=("203.0.113.7", 5060),
        local=("192.0.2.1", 5060),
        behind_nat=False,
        flow_token=None,
        transaction=bytes(16),
        epoch="bench/1",
    )


def table_of(path: str, bindings: int, marked: bool = True) -> Table:
    records = 3 * bindings + 4096
    return Table.create(path, records=records, blocks=records, slots=64, wall_expiry=True, marked=marked, fresh=True)


def filled(path: str, bindings: int) -> Table:
    table, wall = table_of(path, bindings), time.time()
    table.slot = 0
    kept = Records(table, SECRET, 3600.0)
    for number in range(bindings):
        aor = f"sip:user{number}@example.com"
        kept.store(kept.key(aor), 0, AddressRecord(aor, (binding(number, wall),)), wall, use_reserve=False)
    return table


def commit_ns(path: str, marked: bool) -> float:
    table = table_of(path, 10_000, marked)
    table.slot = 0
    keys = [record_key(SECRET, b"r", b"%d" % number) for number in range(1000)]
    value = bytes(350)
    versions = [table.commit(key, 0, value, owner=0) for key in keys]
    best = float("inf")
    for _ in range(RUNS * 10):
        began = time.process_time_ns()
        for i, key in enumerate(keys):
            versions[i] = table.commit(key, versions[i], value, owner=0)
        best = min(best, (time.process_time_ns() - began) / len(keys))
    table.close()
    return best


def look_us(table: Table) -> float:
    marks = Marks(table)
    began = time.process_time_ns()
    for _ in range(1000):
        marks.take(512)
    return (time.process_time_ns() - began) / 1e6


def neighbour(table: Table, secs: float, out: int) -> None:
    """Another process: commits again and again; its worst and median times."""
    table.slot = 1
    key = record_key(SECRET, b"r", b"sip:user1@example.com")
    times = []
    until = time.monotonic() + secs
    while time.monotonic() < until:
        found = table.get(key)
        assert isinstance(found, tuple)
        began = time.perf_counter()
        answer = table.commit(key, found[0], found[1], owner=0, expiry=time.time() + 3600)
        times.append(time.perf_counter() - began)
        assert answer > 0
        time.sleep(0.0005)
    times.sort()
    os.write(
        out, f"{times[len(times) // 2] * 1e6:.1f} {times[int(len(times) * 0.999)] * 1e6:.1f} {len(times)}".encode()
    )
    os._exit(0)


def in_steps(table: Table, path: Path, log: Quiet) -> None:
    marks = Marks(table, without=HINTS)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        neighbour(table, 5.0, writing)
    keeper = Keeper(
        *(path, "bench", marks, table.birth, table.stats().records_max),
        *(ThreadPoolExecutor(2), time.monotonic, time.time, log),
    )
    keeper.start()
    steps, began = [], time.monotonic()
    cpu = time.process_time()
    while keeper.facts().records < 1 or keeper.facts().is_compacting:
        before = time.thread_time()
        until = keeper.turn(time.monotonic())
        steps.append(time.thread_time() - before)
        time.sleep(max(0.0, until - time.monotonic()))
    took = time.monotonic() - began
    print(
        f"  in steps: {took:.2f} s wall, {time.process_time() - cpu:.2f} s CPU, longest turn {max(steps) * 1000:.1f} ms"
    )
    os.waitpid(child, 0)
    median, worst, count = os.read(reading, 100).decode().split()
    print(f"  a commit of another process meanwhile: median {median} us, 99.9 % {worst} us, of {count}")
    keeper.close()


def restore(path: Path, folder: str, bindings: int) -> None:
    copy = path.with_name("copy")  # the keeper above still holds the other one
    shutil.copy(path, copy)
    wall, cpu = time.monotonic(), time.process_time()
    file = JournalFile.open(copy, "bench")
    offsets = Newest(Walk(file.read, FIRST, file.end, file.head)).offsets()
    read = time.process_time() - cpu
    table = table_of(f"{folder}/again", bindings)
    table.slot = 0
    done = Restoration(table, SECRET, 3600.0, False)
    middle = time.process_time()
    for at in offsets:
        place = place_of(file.read, at, file.head)
        assert place is not None and place.value is not None
        done.put(place.value, place.next_deadline, time.time())
    put = time.process_time() - middle
    took = time.monotonic() - wall
    print(f"  {done.bindings} bindings: read {read:.2f} s CPU, put back {put:.2f} s CPU, {took:.2f} s wall")
    table.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bindings", type=int, default=100_000)
    parser.add_argument("--directory", help="where the journal lies (default: a new one in the working directory)")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="siphond-bench-", dir="/dev/shm")
    disk = Path(tempfile.mkdtemp(prefix="journal-bench-", dir=arguments.directory or "."))
    try:
        run(arguments.bindings, folder, disk / "journal")
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(disk)


def run(bindings: int, folder: str, path: Path) -> None:
    print("marks")
    plain, marked = commit_ns(f"{folder}/a", False), commit_ns(f"{folder}/b", True)
    print(f"  commit from Python {plain:.0f} ns, with marks {marked:.0f} ns")
    table = filled(f"{folder}/c", bindings)
    marks = Marks(table, without=HINTS)
    marks.clear()
    places = table.stats().records_max
    print(f"  a look where nothing has changed: {look_us(table):.2f} us for {places} places")
    print(f"journal of {bindings} bindings")
    began, cpu = time.monotonic(), time.process_time()
    copy = write_whole(path, new_head("bench", table.birth, places, time.time()), marks)
    print(
        f"  in one go: {time.monotonic() - began:.2f} s wall, {time.process_time() - cpu:.2f} s CPU, {copy.live} bytes"
    )
    in_steps(table, path, Quiet())
    print("restore")
    restore(path, folder, bindings)
    table.close()


if __name__ == "__main__":
    main()
