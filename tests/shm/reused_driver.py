"""A process is stopped (SIGSTOP) at a named point of its work on a record; meanwhile the record's header becomes
another key's; then it goes on. Prints a report as JSON.

Who looks on without locks may meet this any time. Who holds the record's mutex meets it when noise hits the bit of the
lock word that says the holder died: the next one takes the mutex as well. Whatever is read afterwards, here, by others
and after an exclusive start, is a value that was written under its key, or absent.
"""

import ctypes
import json
import os
import signal
from collections import Counter
from collections.abc import Callable

from shm_workload import count_in, key_of, scratch_folder, value_of

from shm import _table
from shm._layout import structures
from shm.table import BUSY, Head, Table

FIRST, SECOND = 1, 2
"""The record that is worked on, and the one that gets its header. The owner of each is its number."""
OWNER_DIED = 0x40000000  # of a robust mutex's lock word
REPLACING = ("record locked", "blocks taken", "blocks copied", "half marked", "before the switch")
LENGTHS = (0, 40, 1500)


def create(path: str, fresh: bool) -> Table:
    return Table.create(path, records=8, blocks=256, slots=4, block_bytes=64, fresh=fresh)


def commit(table: Table, index: int, expected: int, length: int) -> int:
    return table.commit(key_of(index), expected, value_of(index, 1, length), owner=index, next_deadline=1.0)


def header_of(table: Table, index: int) -> int:
    """The address of the live header of a record."""
    start, size, count = table.sections()["headers"]
    fields = structures()["Header"][1]
    for at in range(table.c_address + start, table.c_address + start + size * count, size):
        key = ctypes.string_at(at + fields["tag"], 8) + ctypes.string_at(at + fields["key_high"], 8)
        if key == key_of(index) and ctypes.string_at(at + fields["state"], 3)[1:] == b"VI":
            return at
    raise AssertionError(f"record {index} has no header")


def check_reads(table: Table) -> Counter[str]:
    """Each record is its own or absent."""
    met: Counter[str] = Counter()
    for index in (FIRST, SECOND):
        found, head = table.get(key_of(index)), table.head(key_of(index))
        if isinstance(found, tuple):
            count_in(index, found[1])
        assert not isinstance(head, Head) or head.owner == index, f"record {index} belongs to {head}"
        assert found != BUSY and head != BUSY, f"record {index} is stuck"
        met["own" if isinstance(found, tuple) else "absent"] += 1
    return met


def check_lists(table: Table) -> None:
    """Each sweep gives a record's key with its own version: the first record's is 1."""
    for index, versions in ((FIRST, (1,)), (SECOND, range(2, 9))):
        for key, version, _ in table.owned(index) + table.due(index, 2.0, 9):
            assert key == key_of(index) and version in versions, f"version {version} under the key of another"


def replace(table: Table) -> None:
    table.slot = 0
    assert commit(table, FIRST, 1, 1000) != BUSY


def stopped(table: Table, point: str, count: int, work: Callable[[Table], object]) -> int:
    """Fork a process that works, and wait until it is stopped."""
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            signal.alarm(60)
            _table.arm_point(point, count, signal.SIGSTOP)
            work(table)
            status = 0
        finally:
            os._exit(status)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]), f"not stopped at {point}"
    return pid


def give_away(table: Table, length: int, held: bool) -> None:
    """The header of the first record becomes the second's."""
    at = header_of(table, FIRST)
    if held:
        word = ctypes.c_uint32.from_address(at)
        word.value |= OWNER_DIED
    assert table.delete(key_of(FIRST), 1) == 1
    assert commit(table, SECOND, 0, length) > 0
    assert header_of(table, SECOND) == at


def once(path: str, point: str, count: int, work: Callable[[Table], object], length: int, held: bool) -> Counter[str]:
    table = create(path, True)
    table.slot = 1
    assert commit(table, FIRST, 0, length) == 1
    pid = stopped(table, point, count, work)
    try:
        give_away(table, length, held)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    os.kill(pid, signal.SIGCONT)
    assert os.waitpid(pid, 0)[1] == 0, f"{point}: what was stopped met what it should not"
    met = check_reads(Table.view(path)) + check_reads(table)
    table.close()
    table = create(path, False)
    assert table.verify().sound, table.verify()
    return met + check_reads(table)


def main() -> None:
    signal.alarm(120)
    path = f"{scratch_folder()}/reused"
    met: Counter[str] = Counter()
    try:
        for length in LENGTHS:
            for point in REPLACING:
                met += once(path, point, 1, replace, length, held=True)
            met += once(path, "key compared", 1, check_reads, length, held=True)
            for count in (1, 2):
                met += once(path, "key compared", count, lambda _: check_reads(Table.view(path)), length, held=False)
            met += once(path, "key compared", 1, check_lists, length, held=False)
    finally:
        os.unlink(path)
        os.rmdir(scratch_folder())
    print(json.dumps(met))


if __name__ == "__main__":
    main()
