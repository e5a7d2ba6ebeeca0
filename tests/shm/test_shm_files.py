"""Files: made whole, reopened, refused."""

import os
import stat
from itertools import pairwise

import pytest

from shm.table import LayoutMismatch, NoSpace, SlotTaken, Table

KEY = b"k" * 16
SIZES = {"records": 64, "blocks": 256, "slots": 4}
BOOT = b"b" * 16


def test_the_file_is_whole_private_and_in_a_private_folder(folder):
    path = f"{folder}/deep/er/table"
    table = Table.create(path, **SIZES)
    facts = os.stat(path)
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert facts.st_blocks * 512 >= facts.st_size == table.stats().bytes
    assert stat.S_IMODE(os.stat(f"{folder}/deep/er").st_mode) == 0o700
    assert os.listdir(f"{folder}/deep/er") == ["table"]


def test_shared_25_an_exclusive_start_goes_on_where_the_last_one_stopped(folder):
    table = Table.create(f"{folder}/t", **SIZES, boot_id=BOOT)
    version = table.commit(KEY, 0, b"v" * 900, owner=5, next_deadline=9.0)
    del table  # without close: as after a kill
    table = Table.create(f"{folder}/t", **SIZES, boot_id=BOOT)
    assert table.get(KEY) == (version, b"v" * 900)
    assert table.head(KEY).next_deadline == 9.0
    assert table.commit(KEY, version, b"", owner=5) > version
    assert table.verify().sound


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"records": 65}, "records is 64, wanted is 65"),
        ({"blocks": 300}, "blocks is 256, wanted is 300"),
        ({"slots": 5}, "slots is 4"),
        ({"block_bytes": 64}, "bytes of a block is 512, wanted is 64"),
        ({"boot_id": b"c" * 16}, "boot id"),
        ({"wall_expiry": True}, "wall_expiry"),
    ],
)
def test_shared_26_a_file_that_does_not_match_is_refused_and_the_text_says_why(folder, change, text):
    Table.create(f"{folder}/t", **SIZES, boot_id=BOOT).commit(KEY, 0, b"x", owner=1)
    with pytest.raises(LayoutMismatch, match=text) as caught:
        Table.create(f"{folder}/t", **{**SIZES, "boot_id": BOOT, **change})
    assert "siphond --fresh" in str(caught.value)
    assert Table.attach(f"{folder}/t").get(KEY) is not None


def test_fresh_starts_empty(folder):
    Table.create(f"{folder}/t", **SIZES).commit(KEY, 0, b"x", owner=1)
    table = Table.create(f"{folder}/t", **{**SIZES, "records": 32}, fresh=True)
    assert table.get(KEY) is None
    assert table.stats().records_max == 32


@pytest.mark.parametrize("content", [b"", b"hello", bytes(4096), os.urandom(70000)])
def test_shared_26_a_foreign_file_is_refused(folder, content):
    with open(f"{folder}/t", "wb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(content)
    for opening in (Table.attach, Table.view, lambda path: Table.create(path, **SIZES)):
        with pytest.raises(LayoutMismatch, match=r"too short|no table|damaged"):
            opening(f"{folder}/t")


def test_shared_26_a_cut_file_is_refused(folder):
    Table.create(f"{folder}/t", **SIZES)
    os.truncate(f"{folder}/t", 40960)
    with pytest.raises(LayoutMismatch, match="bytes long"):
        Table.attach(f"{folder}/t")


@pytest.mark.parametrize("at", [0, 8, 12, 16, 33, 48, 70, 115])
def test_sec_17_a_damaged_first_page_is_refused(folder, at):
    Table.create(f"{folder}/t", **SIZES)
    with open(f"{folder}/t", "r+b") as file:
        file.seek(at)
        file.write(bytes([file.read(1)[0] ^ 0x55]) if file.seek(at) == at else b"")
        file.seek(at)
        file.write(b"\xa7")
    with pytest.raises(LayoutMismatch, match=r"no table|layout is version|damaged"):
        Table.attach(f"{folder}/t")


def test_no_room_is_an_error_at_start_that_says_how_much_is_needed(folder):
    with pytest.raises(NoSpace, match=r"bytes of shared memory are needed, \d+ are free"):
        Table.create(f"{folder}/t", records=64, blocks=(1 << 29) - 1)
    assert os.listdir(folder) == []


def test_a_folder_that_others_can_write_to_is_refused(folder):
    os.mkdir(f"{folder}/open")
    os.chmod(f"{folder}/open", 0o777)
    with pytest.raises(PermissionError, match="no other user"):
        Table.create(f"{folder}/open/t", **SIZES)


def test_a_link_and_an_open_file_are_refused(folder):
    Table.create(f"{folder}/t", **SIZES)
    os.symlink(f"{folder}/t", f"{folder}/link")
    with pytest.raises(OSError, match="link"):
        Table.attach(f"{folder}/link")
    os.chmod(f"{folder}/t", 0o644)
    with pytest.raises(PermissionError, match="0600"):
        Table.attach(f"{folder}/t")


def test_a_slot_has_one_process_and_a_second_table_object_is_another(folder):
    first = Table.create(f"{folder}/t", **SIZES)
    first.slot = 2
    second = Table.attach(f"{folder}/t")
    with pytest.raises(SlotTaken, match="slot 2"):
        second.slot = 2
    assert second.recover(2).alive
    first.slot = 1
    second.slot = 2
    assert second.slot == 2
    with pytest.raises(ValueError, match="slot 4 of 4"):
        second.slot = 4


def test_who_names_no_slot_gets_the_highest_free_one(folder):
    table = Table.create(f"{folder}/t", **SIZES)
    assert table.slot == -1
    table.commit(KEY, 0, b"", owner=1)
    assert table.slot == 3
    others = [Table.attach(f"{folder}/t") for _ in range(4)]
    for other, slot in zip(others, (2, 1, 0), strict=False):
        assert other.commit(KEY, other.get(KEY)[0], b"", owner=1) > 0
        assert other.slot == slot
    with pytest.raises(SlotTaken, match="no slot is free"):
        others[3].commit(KEY, 0, b"", owner=1)


def test_a_slot_gets_a_new_generation_each_time(table):
    seen = []
    for _ in range(3):
        table.slot = 1
        seen.append(table.generation)
    assert all(b > a for a, b in pairwise(seen))


def test_a_child_inherits_the_table_but_not_the_slot(table):
    version = table.commit(KEY, 0, b"parent", owner=1)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, b"%d %d " % (table.slot, table.commit(KEY, version, b"child", owner=1)))
            os.write(writing, b"%d" % table.slot)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    before, done, after = map(int, os.read(reading, 100).split())
    assert (before, after, table.slot) == (-1, 3, 0)
    assert table.get(KEY) == (done, b"child")
    assert not table.recover(3).alive


def test_leaving_in_order_needs_no_recovery(table):
    table.commit(KEY, 0, bytes(900), owner=1)
    table.slot = 1
    assert table.recover(0) == (0, False, True, "none", 0, 0)
    assert table.stats().recovered == 0
