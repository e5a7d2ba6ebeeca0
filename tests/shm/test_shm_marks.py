"""Marks: who follows a table by them misses nothing, whoever is killed."""

import ctypes
import json
import os
import threading

import pytest
from points_build import run_driver
from shm_workload import key_of

from shm.marks import Marks
from shm.table import Action, Table, file_size


@pytest.fixture
def marked(make):
    table = make(records=9000, blocks=9000, slots=4, marked=True)
    table.slot = 0
    return table


def followed(marks, limit=100):
    places = marks.take(limit)
    marks.done([place.number for place in places])
    return places


def test_an_insert_a_replacement_and_a_deletion_are_each_seen_once(marked):
    marks = Marks(marked)
    version = marked.commit(key_of(1), 0, b"one", owner=5, next_deadline=7.0, expiry=2.0)
    (place,) = followed(marks)
    assert place[1:] == (version, 5, 7.0, 2.0, b"one")
    assert followed(marks) == [] and marks.waiting() == 0
    version = marked.commit(key_of(1), version, b"two", owner=5)
    assert [(p.number, p.value) for p in followed(marks)] == [(place.number, b"two")]
    assert marked.delete(key_of(1), version) == 1
    assert [(p.number, p.value) for p in followed(marks)] == [(place.number, None)]


def test_many_changes_of_one_record_are_one_mark(marked):
    marks, version = Marks(marked), 0
    for number in range(100):
        version = marked.commit(key_of(1), version, b"%d" % number, owner=0)
    assert [place.value for place in followed(marks)] == [b"99"]


def test_what_changes_after_it_was_taken_is_taken_again(marked):
    marks = Marks(marked)
    version = marked.commit(key_of(1), 0, b"one", owner=0)
    (place,) = marks.take(10)
    marked.commit(key_of(1), version, b"two", owner=0)
    marks.done([place.number])
    assert [place.value for place in followed(marks)] == [b"two"]


def test_the_next_follower_gets_what_the_last_one_has_taken_and_not_done(marked):
    for index in range(300):
        marked.commit(key_of(index), 0, b"%d" % index, owner=0)
    taken = Marks(marked).take(100)
    again = Marks(marked)
    assert again.waiting() == 300
    assert again.again() == 300
    assert {place.number for place in taken} < {place.number for place in followed(again, 1000)}
    assert again.waiting() == 0 and again.again() == 0


def test_a_limit_leaves_the_rest_for_the_next_call(marked):
    marks = Marks(marked)
    for index in range(500):
        marked.commit(key_of(index), 0, b"x", owner=0)
    numbers = [place.number for _ in range(10) for place in followed(marks, 64)]
    assert len(numbers) == len(set(numbers)) == 500


def test_records_of_the_owner_that_is_left_out_are_given_as_absent(marked):
    marks = Marks(marked, without=1)
    marked.commit(key_of(1), 0, b"kept", owner=0)
    marked.commit(key_of(2), 0, b"left out", owner=1)
    assert sorted((place.value or b"") for place in followed(marks)) == [b"", b"kept"]
    assert [place.value for place in marks.read(1, 9000, 100)[0]] == [b"kept"]


def test_reading_all_places_goes_by_steps_and_leaves_the_marks(marked):
    marks, cursor, found, steps = Marks(marked), 1, [], 0
    for index in range(700):
        marked.commit(key_of(index), 0, b"%d" % index, owner=0)
    while cursor:
        places, cursor = marks.read(cursor, 1000, 50)
        assert len(places) <= 50
        found += [place.value for place in places]
        steps += 1
    assert sorted(found) == sorted(b"%d" % index for index in range(700))
    assert steps >= 14 + 8 and marks.waiting() == 700


def test_a_restart_keeps_the_marks_and_a_new_table_has_none(folder):
    sizes = {"records": 64, "blocks": 64, "slots": 4, "marked": True}
    table = Table.create(f"{folder}/t", **sizes)
    birth = table.birth
    table.slot = 0
    table.commit(key_of(1), 0, b"x", owner=0)
    table.set_filled()
    table.close()
    table = Table.create(f"{folder}/t", **sizes)
    assert table.birth == birth and table.filled and Marks(table).waiting() == 1
    table.close()
    table = Table.create(f"{folder}/t", **sizes, fresh=True)
    assert table.birth != birth and not table.filled and Marks(table).waiting() == 0
    table.close()


def test_random_bytes_among_the_marks_cost_a_look_and_nothing_else(marked):
    marks = Marks(marked)
    marked.commit(key_of(1), 0, b"x", owner=0)
    start, _, count = marked.sections()["marks"]
    with open(marked.path, "r+b") as file:
        file.seek(start)
        file.write(os.urandom(count).replace(b"\0", b"\1"))  # a zero there would hide the one that counts
    marks.again()
    seen = []
    while places := followed(marks, 1000):
        seen += [place.value for place in places if place.value is not None]
    assert seen == [b"x"] and marks.waiting() == 0


def test_a_table_without_marks_has_nothing_to_follow(table):
    with pytest.raises(ValueError, match="not marked"):
        Marks(table)


def test_a_view_counts_and_changes_nothing(marked):
    marked.commit(key_of(1), 0, b"x", owner=0)
    marks = Marks(Table.view(marked.path))
    assert marks.waiting() == 1
    for change in (lambda: marks.take(1), lambda: marks.done([1]), marks.again, marks.clear):
        with pytest.raises(ValueError, match="reading only"):
            change()


def test_marks_take_a_byte_a_record(folder):
    without = file_size(records=1_000_000, blocks=1000)
    assert file_size(records=1_000_000, blocks=1000, marked=True) - without <= 1_000_000 + 3 * 4096


def test_a_record_that_is_held_is_left_for_later(marked):
    """A thread of this process that stays in a commit's action holds the mutex, as a stopped worker would."""
    entered, leave = threading.Event(), threading.Event()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    def hold(_):
        entered.set()
        leave.wait(60)
        return 0

    other = Table.attach(marked.path)
    other.slot = 1
    action = Action(ctypes.cast(hold, ctypes.c_void_p).value, 0)
    holder = threading.Thread(target=lambda: other.commit(key_of(1), 0, b"held", owner=0, action=action))
    marks = Marks(marked)
    holder.start()
    assert entered.wait(60)
    assert marks.take(10) == [] and marks.waiting() == 1
    leave.set()
    holder.join()
    assert [place.value for place in followed(marks)] == [b"held"]
    other.close()


def test_shared_25_nobodys_death_hides_a_change_from_who_follows_them():
    report = json.loads(run_driver("marks_driver.py", "30", "200", "150", points=True))
    assert report["kills"] == 14 * 30 + 200 and report["followers"] == 150
    assert report["followed"] > 1000 and report["records"] > 10
