"""The keeper of the journal: virtual time, a real directory, a disk that ends the process or fails as the test says."""

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_disk import At, CountingDisk, Crash, FullDisk, TableOfPlaces

from siphon.services.journal.copy import LEAST, new_head, write_rest, write_whole
from siphon.services.journal.file import Disk, Draft, Foreign, JournalFile, Unusable, draft_of, forget, set_aside
from siphon.services.journal.frames import FIRST, Head, frame
from siphon.services.journal.keeper import LOOK_SECS, SAY_SECS, SYNC_SECS, Keeper
from siphon.services.journal.reading import Newest, Walk, place_of

BIRTH = b"birth001"


class Log:
    def __init__(self):
        self.lines = []

    def _add(self, level):
        return lambda event, **fields: self.lines.append((level, event, fields))

    def __getattr__(self, level):
        return self._add(level)

    def events(self):
        return [event for _, event, _ in self.lines]


class Desk:
    """A keeper with what it works on; `run(secs)` lets virtual time pass."""

    def __init__(self, path, disk=None, table=None):
        self.path = path
        self.disk = disk or Disk()
        self.table = table or TableOfPlaces()
        self.now = 100.0
        self.log = Log()
        self.background = At()
        self.keeper = self.new_keeper()

    def new_keeper(self):
        clock, wall = lambda: self.now, lambda: 1e9 + self.now
        made = Keeper(
            *(self.path, "test", self.table, BIRTH, self.table.places, self.background, clock, wall, self.log),
            self.disk,
        )
        made.start()
        return made

    def run(self, secs=0.2):
        until = self.now + secs
        while self.now < until:
            self.now = max(self.keeper.turn(self.now), self.now + 0.001)

    def restart(self):
        """The helper is killed and starts again."""
        for copy in (self.keeper._copy, self.keeper._new):
            if copy is not None:
                copy.file.close()
        self.keeper = self.new_keeper()


def content(path):
    """What a start after a reboot finds, read as it reads."""
    file = JournalFile.open(path, "test")
    walk = Walk(file.read, FIRST, os.fstat(file.fd).st_size, file.head)
    found = {}
    for at in Newest(walk).offsets():
        place = place_of(file.read, at, file.head)
        found[place.number] = place.value
    file.close()
    return found


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "j")


# -- following


def test_a_change_is_in_the_file_within_100_ms(desk):
    desk.run()
    for number, value in enumerate((b"one", b"two", b"three"), 1):
        desk.table.set(number, value)
        before = desk.now
        while desk.table.changed:
            desk.now = desk.keeper.turn(desk.now)
        assert desk.now - before <= 0.1 >= LOOK_SECS
        assert desk_content(desk) == desk.table.content()


def desk_content(desk):
    """The file is locked by the keeper of this process: a copy is read."""
    shadow = desk.path.with_name("shadow")
    shadow.write_bytes(desk.path.read_bytes())
    return content(shadow)


def test_a_removal_is_written_and_only_where_there_was_something(desk):
    desk.run()
    desk.table.set(1, b"one")
    desk.run()
    size = desk.path.stat().st_size
    desk.table.set(2, None)
    desk.run()
    assert desk.path.stat().st_size == size
    desk.table.set(1, None)
    desk.run()
    assert desk.path.stat().st_size > size and desk_content(desk) == {}


def test_the_table_as_it_was_at_the_start_is_in_the_journal_too(tmp_path):
    table = TableOfPlaces()
    table.set(7, b"old")
    table.changed.clear()
    desk = Desk(tmp_path / "j", table=table)
    desk.run()
    assert desk_content(desk) == {7: b"old"}


def test_a_helper_that_was_killed_goes_on_where_it_was(desk):
    desk.run()
    desk.table.set(1, b"one")
    desk.run()
    desk.table.set(2, b"two")
    desk.table.take(10)  # taken, and killed before it was written
    desk.table.set(1, None)
    desk.restart()
    desk.run()
    assert desk_content(desk) == {2: b"two"}


def test_a_torn_tail_is_cut_and_said(desk):
    desk.run()
    desk.table.set(1, b"one")
    desk.run()
    with desk.path.open("ab") as file:
        file.write(frame(desk.table.values[1], 0)[:30])
    desk.background.waits = True  # what is seen below is the old file, not the new one that follows
    desk.restart()
    assert desk.log.lines[-1][:2] == ("warn", "journal.cut") and desk.log.lines[-1][2]["bytes"] == 30
    desk.table.set(2, b"two")
    desk.run()
    assert desk_content(desk) == {1: b"one", 2: b"two"}


def test_what_is_appended_is_synced_within_a_second(desk):
    desk.run()
    desk.table.set(1, b"one")
    desk.run(SYNC_SECS + 0.1)
    file = desk.keeper._copy.file
    assert file.synced == file.end


def test_a_slow_disk_delays_no_append(desk):
    desk.run()
    desk.background.waits = True
    for number in range(1, 30):
        desk.table.set(number, b"x")
        desk.run(0.5)
        assert desk.table.changed == {}
    assert len(desk.background.jobs) == 1, "one sync at a time"
    assert len(desk_content(desk)) == 29


# -- compacting


def test_the_file_stays_bounded_whatever_happens_to_the_bindings(desk):
    desk.run()
    dice = random.Random(3)
    most = 0
    for _ in range(400):
        for number in range(1, 65):
            desk.table.set(number, dice.randbytes(300) if dice.random() < 0.9 else None)
        desk.run(0.06)
        most = max(most, desk.path.stat().st_size)
    desk.run(1)
    assert 5 * most < 400 * 64 * 300, "more was written than ever lay in the file"
    assert most <= FIRST + 1.2 * LEAST + 3 * 64 * 400
    assert desk_content(desk) == desk.table.content()


def test_changes_during_a_compaction_are_in_both_files(desk):
    desk.run()
    for number in range(1, 65):
        desk.table.set(number, b"first")
    desk.run()
    desk.background.waits = True
    desk.keeper._wants_new = True
    desk.run()
    assert desk.keeper.facts().is_compacting
    desk.table.set(1, b"changed")
    desk.table.set(2, None)
    desk.run()
    assert desk_content(desk) == desk.table.content(), "the old one has it"
    desk.background.work()
    desk.run()
    assert not desk.keeper.facts().is_compacting
    assert desk_content(desk) == desk.table.content(), "the new one has it"
    assert not draft_of(desk.path).exists()


def compact(path, disk, table):
    """A journal with content, a compaction with changes before, during and after it."""
    desk = Desk(path, disk, table)
    desk.run()
    for number in range(1, 40):
        table.set(number, b"first %d" % number)
    desk.run()
    desk.background.waits = True
    desk.keeper._wants_new = True
    desk.run()
    for number in range(1, 20):
        table.set(number, b"second %d" % number if number % 3 else None)
    desk.run()
    desk.background.work()
    desk.run(SYNC_SECS)
    desk.background.work()
    desk.table.set(50, b"third")
    desk.run()
    return desk


def calls_of(tmp_path):
    disk = CountingDisk()
    compact(tmp_path / "counted", disk, TableOfPlaces())
    return disk.calls


def test_a_crash_at_each_call_leaves_one_good_file_with_all_that_was_written(tmp_path):
    calls = calls_of(tmp_path)
    assert {"open", "write", "sync", "rename", "sync_directory", "lock"} <= set(calls) and calls.count("rename") == 2
    crashes = [(at, how) for at in range(1, len(calls) + 1) for how in ("before", "after", "half")]
    for number, (at, how) in enumerate(crashes):
        path = tmp_path / f"{number}" / "j"
        path.parent.mkdir()
        table = TableOfPlaces()
        disk = CountingDisk(at, how)
        with pytest.raises(Crash):
            compact(path, disk, table)
        check_after_a_crash(path, table, (at, how, calls[at - 1]))


def check_after_a_crash(path, table, where):
    """What the table has not marked as written may be missing; nothing else. And the next helper brings it all."""
    open_changes = set(table.changed) | table.taken
    if path.exists():
        expected = {n: v for n, v in table.content().items() if n not in open_changes}
        shadow = path.with_name("shadow")
        shadow.write_bytes(path.read_bytes())
        found = {n: v for n, v in content(shadow).items() if n not in open_changes}
        assert found == expected, where
    else:
        assert open_changes >= set(table.content()), where
    desk = Desk(path.with_name("again"), table=table)
    if path.exists():
        (path.with_name("again")).write_bytes(path.read_bytes())
        desk.restart()
    desk.run()
    assert desk_content(desk) == table.content(), where


def test_an_error_at_each_call_is_survived_and_said_and_made_good(tmp_path):
    calls = calls_of(tmp_path)
    for at in range(1, len(calls) + 1):
        for number in (errno.EIO, errno.ENOSPC, errno.EROFS):
            path = tmp_path / f"{at}-{number}" / "j"
            path.parent.mkdir()
            table = TableOfPlaces()
            desk = compact(path, CountingDisk(at, number), table)
            desk.background.waits = False
            desk.background.work()
            desk.run(30)
            assert desk.keeper.facts().failing_since is None and table.changed == {}
            assert desk_content(desk) == table.content(), (at, number, calls[at - 1])
            quiet = calls[at - 1] == "remove"
            assert quiet or any(level == "error" for level, _, _ in desk.log.lines), (at, number, calls[at - 1])


def test_a_new_journal_that_is_begun_replaces_what_a_crash_left_of_the_last(desk):
    draft_of(desk.path).write_bytes(b"half a journal")
    desk.run()
    assert not draft_of(desk.path).exists() and desk_content(desk) == {}


# -- faults that last


def test_a_full_disk_is_said_once_a_minute_costs_no_change_and_ends_with_a_new_journal(tmp_path):
    disk = FullDisk()
    desk = Desk(tmp_path / "j", disk)
    desk.run()
    desk.table.set(1, b"one")
    desk.run()
    disk.room = 30
    for second in range(600):
        desk.table.set(2 + second % 50, b"%d" % second)
        desk.run(1)
    facts = desk.keeper.facts()
    assert facts.error == "no space left on device" and desk.now - facts.failing_since > 590
    failures = [line for line in desk.log.lines if line[1] == "journal.failed"]
    assert 1 <= len(failures) <= 1 + 600 / SAY_SECS and len(desk.log.lines) < 30
    assert desk_content(desk) == {1: b"one"}, "the old content stays, without a torn frame"
    disk.room = 1 << 30
    before = desk.path.stat().st_ino
    desk.run(15)
    assert desk_content(desk) == desk.table.content()
    assert desk.keeper.facts().failing_since is None and desk.keeper.facts().error is None
    assert desk.log.events().count("journal.recovered") == 1
    assert desk.path.stat().st_ino != before, "a new journal has been written"


def test_a_disk_with_room_for_appends_only_keeps_the_old_journal_going(tmp_path):
    disk = FullDisk()
    desk = Desk(tmp_path / "j", disk)
    desk.run()
    for number in range(1, 60):
        desk.table.set(number, b"x" * 300)
    desk.run()
    disk.room = 10_000
    desk.keeper._wants_new = True
    desk.run(3)
    assert "journal.compaction_failed" in desk.log.events() and not draft_of(desk.path).exists()
    desk.table.set(60, b"y")
    desk.run()
    assert desk_content(desk) == desk.table.content() and desk.keeper.facts().failing_since is None


def test_a_disk_that_fails_to_sync_is_not_trusted_any_more(tmp_path):
    disk = FullDisk()
    desk = Desk(tmp_path / "j", disk)
    desk.run()
    disk.sync_error = errno.EIO
    desk.table.set(1, b"one")
    desk.run(5)
    assert desk.keeper.facts().failing_since is not None
    disk.sync_error = 0
    before = desk.path.stat().st_ino
    desk.run(15)
    assert desk_content(desk) == {1: b"one"} and desk.path.stat().st_ino != before


def test_an_error_that_cannot_be_cut_off_makes_the_file_one_that_is_only_read(tmp_path):
    class Torn(FullDisk):
        def cut(self, fd, size):
            raise OSError(errno.EIO, "I/O error")

    disk = Torn()
    desk = Desk(tmp_path / "j", disk)
    desk.run()
    disk.room = 20
    desk.table.set(1, b"one")
    desk.run(3)
    assert not desk.keeper._copy.file.is_whole
    disk.room = 1 << 30
    desk.run(15)
    assert desk_content(desk) == {1: b"one"} and desk.keeper.facts().failing_since is None


def test_without_room_to_compact_the_file_stops_growing(tmp_path):
    class NoNewFile(Disk):
        blocked = False

        def open(self, path, flags):
            if self.blocked and path.name.endswith(".new"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().open(path, flags)

    disk = NoNewFile()
    desk = Desk(tmp_path / "j", disk)
    desk.run()
    disk.blocked = True
    for _ in range(120):
        for number in range(1, 65):
            desk.table.set(number, bytes(5000))
        desk.run(0.06)
    assert desk.path.stat().st_size < FIRST + 16 * LEAST + 4 * 2 * 64 * 5200
    assert "too large" in desk.keeper.facts().error or "space" in desk.keeper.facts().error
    disk.blocked = False
    desk.run(30)
    assert desk_content(desk) == desk.table.content() and desk.path.stat().st_size < LEAST


# -- what lies in its place


def make_directory(path):
    path.mkdir()


def make_link(path):
    path.with_name("other").write_bytes(b"mine")
    path.symlink_to(path.with_name("other"))


def make_fifo(path):
    os.mkfifo(path)


@pytest.mark.parametrize("make", [make_directory, make_link, make_fifo])
def test_what_is_no_file_stays_and_is_said_and_the_journal_begins_when_it_has_gone(tmp_path, make):
    path = tmp_path / "j"
    make(path)
    before = path.lstat()
    desk = Desk(path)
    desk.table.set(1, b"one")
    desk.run(20)
    assert path.lstat().st_ino == before.st_ino
    assert desk.keeper.facts().error == "it is no file" and not draft_of(path).exists()
    assert desk.log.events().count("journal.failed") == 1
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    desk.run(15)
    assert desk_content(desk) == {1: b"one"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_stays(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(Head("test", BIRTH, 64, b"salt5678", 1.0).to_bytes())
    os.chown(path, 12345, 12345)
    desk = Desk(path)
    desk.run(5)
    assert path.stat().st_uid == 12345
    assert desk.keeper.facts().error == "it belongs to user 12345, not to us"


def test_a_journal_that_another_process_writes_to_stays(tmp_path):
    path = tmp_path / "j"
    held = Draft(path, new_head("test", BIRTH, 64, 1.0))
    held.publish()
    desk = Desk(path)
    desk.run(5)
    assert desk.keeper.facts().error == "another siphond writes to it"
    held.file.close()
    desk.run(15)
    assert desk.keeper.facts().error is None


@pytest.mark.parametrize("data", [b"", b"something else", bytes(5000)])
def test_a_file_that_is_no_journal_is_set_aside(tmp_path, data):
    path = tmp_path / "j"
    path.write_bytes(data)
    desk = Desk(path)
    desk.run()
    assert (tmp_path / "j.aside").read_bytes() == data
    assert desk.log.events()[0] == "journal.set_aside" and desk_content(desk) == {}


def test_the_journal_of_another_instance_is_set_aside(tmp_path):
    path = tmp_path / "j"
    write_whole(path, new_head("other", BIRTH, 64, 1.0), TableOfPlaces())
    with pytest.raises(Foreign, match="of the instance other"):
        JournalFile.open(path, "test")
    assert set_aside(path) == tmp_path / "j.aside" and not path.exists()


def test_the_journal_of_a_former_table_holds_until_the_new_one_is_whole(tmp_path):
    path, old = tmp_path / "j", TableOfPlaces()
    old.set(1, b"of the former table")
    write_whole(path, new_head("test", b"former00", 64, 1.0), old)
    desk = Desk(path)
    desk.background.waits = True
    desk.table.set(2, b"new")
    desk.run()
    assert desk_content(desk) == {1: b"of the former table"}
    desk.background.work()
    desk.run()
    assert desk_content(desk) == {2: b"new"}


def test_a_journal_that_somebody_removed_is_written_anew(desk):
    desk.run()
    desk.table.set(1, b"one")
    desk.run()
    desk.path.unlink()
    desk.run(2.5)
    assert desk_content(desk) == {1: b"one"}


# -- begin and end


def test_what_the_helper_could_not_write_any_more_is_written_at_the_end(tmp_path):
    path, table = tmp_path / "j", TableOfPlaces()
    head = new_head("test", BIRTH, 64, 1.0)
    write_whole(path, head, table)
    for number in range(1, 60):
        table.set(number, b"late")
    table.take(5)
    assert write_rest(path, head, table) == 59
    assert content(path) == table.content() and table.changed == {}


def test_the_end_writes_nothing_to_the_journal_of_another_table(tmp_path):
    path, table = tmp_path / "j", TableOfPlaces()
    write_whole(path, new_head("test", b"former00", 64, 1.0), table)
    table.set(1, b"x")
    assert write_rest(path, new_head("test", BIRTH, 64, 1.0), table) == -1
    assert table.changed


def test_forgetting_removes_the_journal_and_what_was_begun(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b"x")
    draft_of(path).write_bytes(b"y")
    forget(path)
    assert list(tmp_path.iterdir()) == []
    forget(path)
    path.mkdir()
    with pytest.raises(OSError, match="irectory|permitted"):
        forget(path)


def test_a_draft_that_must_not_replace_what_lies_there_is_not_begun(tmp_path):
    (tmp_path / "j").mkdir()
    with pytest.raises(Unusable):
        write_whole(tmp_path / "j", new_head("test", BIRTH, 64, 1.0), TableOfPlaces())
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "remove", "run", "restart", "compact", "full", "room"]),
        st.integers(1, 20),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_whatever_happens_the_journal_is_the_table_in_the_end(tmp_path_factory, steps):
    disk = FullDisk()
    desk = Desk(Path(tmp_path_factory.mktemp("j")) / "j", disk)
    for number, (step, place) in enumerate(steps):
        if step == "set":
            desk.table.set(place, b"%d" % number * place)
        elif step == "remove":
            desk.table.set(place, None)
        elif step == "run":
            desk.run(place / 20)
        elif step == "restart":
            desk.restart()
        elif step == "compact":
            desk.keeper._wants_new = True
        else:
            disk.room = place * 40 if step == "full" else 1 << 30
    disk.room = 1 << 30
    desk.run(15)
    assert desk_content(desk) == desk.table.content()
    assert desk.keeper.facts().records == len(desk.table.values)
