"""Groups of upstreams as workers share them: health, turns, groups that scripts make (API 13, G6)."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from typing import Any

import pytest
from test_services_shared import PROCESSES, together

from shm.table import Table
from siphon.services.balancing import Group, Groups, ProbePlan, Upstream
from siphon.services.balancing.model import upstreams_of
from siphon.services.balancing.views import GROUP, TURN, Kind, stored
from siphon.services.store import StoreError
from siphon.state.memory import MemoryTable

KEY = b"k" * 32
A, B, C = (Upstream(f"sip:{name}.example.net", f"192.0.2.{place}:5060") for place, name in enumerate("abc", 1))
TRUNKS = Group("trunks", (A, B), "round_robin", ProbePlan())


class Office:
    """Workers over one table; each has its own Groups."""

    def __init__(self, table: Any = None) -> None:
        self.table = table if table is not None else MemoryTable()
        self.wall = 5000.0

    def worker(self, *groups: Group, epoch: str = "start 1") -> Groups:
        return Groups(self.table, KEY, groups or (TRUNKS,), epoch, lambda: self.wall)


def chosen(groups: Groups, name: str = "trunks", times: int = 4, **how: Any) -> str:
    found = [groups.select(name, **how) for _ in range(times)]
    return "".join("-" if upstream is None else upstream.given[4] for upstream in found)


def test_workers_take_turns_together():
    office = Office()
    one, two = office.worker(), office.worker()
    assert chosen(one, times=1) + chosen(two, times=1) + chosen(one, times=1) + chosen(two, times=1) == "abab"


def test_a_number_is_kept_for_each_group_and_priority():
    low = Group("low", (A, B, Upstream("sip:x", priority=2), Upstream("sip:y", priority=2)), "round_robin")
    groups = Office().worker(TRUNKS, low)
    assert chosen(groups, times=1) == "a"
    assert chosen(groups, "low", 3) == "aba"
    for upstream in (A, B):
        groups.mark("low", upstream.given, False)
    assert chosen(groups, "low", 3) == "xyx"
    for upstream in (A, B):
        groups.mark("low", upstream.given, True)
    assert chosen(groups, "low", 1) == "b"
    assert chosen(groups, times=1) == "b"


def test_the_lowest_priority_that_has_a_usable_one_matching_is_chosen_from():
    group = Group("g", (Upstream("sip:a", attrs={"r": "eu"}), Upstream("sip:x", priority=9, attrs={"r": "us"})))
    groups = Office().worker(group)
    assert chosen(groups, "g", 2) == "aa"
    assert chosen(groups, "g", 2, attrs={"r": "us"}) == "xx"
    assert chosen(groups, "g", 1, attrs={"r": "cn"}) == "-"
    groups.mark("g", "sip:a", False)
    assert chosen(groups, "g", 1) == "x"
    assert chosen(groups, "g", 1, attrs={"r": "eu"}) == "-"
    assert chosen(groups, "g", 1, attrs={"r": ["not", "hashable"]}) == "-"


def test_an_unknown_group_and_one_that_is_down_give_nothing():
    groups = Office().worker()
    assert groups.select("none") is None
    assert groups.view("none") is None
    groups.mark("trunks", A.given, False)
    groups.mark("trunks", B.given, False)
    assert groups.select("trunks") is None


def test_hash_gives_a_key_one_upstream_and_no_key_is_one_key():
    groups = Office().worker(Group("g", (A, B, C), "hash"))
    assert len(set(chosen(groups, "g", 5, key="alice"))) == 1
    assert len(set(chosen(groups, "g", 5))) == 1
    assert chosen(groups, "g", 1) == chosen(groups, "g", 1, key="")
    assert {chosen(groups, "g", 1, key=f"k{number}") for number in range(30)} == {"a", "b", "c"}


def test_a_mark_of_one_worker_is_seen_by_all_at_once():
    office = Office()
    one, two = office.worker(), office.worker()
    assert chosen(two, times=2) == "ab"
    assert one.mark("trunks", A.given, False)
    assert chosen(two, times=2) == "bb"
    assert two.mark("trunks", A.given, True)
    assert "a" in chosen(one, times=2)
    assert not one.mark("trunks", "sip:other", False)
    assert not one.mark("none", A.given, False)


def test_a_drain_holds_until_a_mark_up():
    groups = Office().worker()
    assert groups.drain("trunks", A.given)
    assert chosen(groups, times=2) == "bb"
    assert groups.mark("trunks", A.given, True)
    assert set(chosen(groups, times=2)) == {"a", "b"}
    assert not groups.drain("trunks", "sip:other")


def test_health_outlives_workers_and_a_reload_for_upstreams_that_stay():
    office = Office()
    office.worker().mark("trunks", A.given, False)
    assert chosen(office.worker(), times=2) == "bb"
    after = office.worker(Group("trunks", (A, B, C), "round_robin"))
    assert set(chosen(after)) == {"b", "c"}
    elsewhere = office.worker(Group("trunks", (Upstream(A.given, "192.0.2.77:5060"), B), "round_robin"))
    assert set(chosen(elsewhere)) == {"a", "b"}  # another address is another upstream


def test_a_group_that_one_worker_makes_is_there_for_all_and_gone_for_all():
    office = Office()
    one, two = office.worker(), office.worker()
    assert two.names() == ["trunks"]
    one.add(Group("late", (C,)))
    office.wall += 1
    one.add(Group("early", (A,)))
    assert chosen(two, "late", 1) == "c"
    assert two.names() == ["trunks", "late", "early"]
    assert office.worker().names() == ["trunks", "late", "early"]
    assert two.remove("late")
    assert not two.remove("late")
    assert one.select("late") is None
    assert one.names() == ["trunks", "early"]


def test_add_puts_a_group_in_the_place_of_a_configured_one_until_it_is_removed():
    office = Office()
    one, two = office.worker(), office.worker()
    one.mark("trunks", B.given, False)
    one.add(Group("trunks", (B, C), "weighted"))
    assert chosen(two) == "cccc"  # B is still down
    assert office.worker(epoch="start 2").names() == ["trunks"]
    assert chosen(office.worker(epoch="start 2")) == "cccc"
    assert two.remove("trunks")
    assert one.names() == []
    assert one.select("trunks") is None
    again = office.worker(epoch="start 2")
    assert again.names() == ["trunks"]
    assert set(chosen(again)) == {"a"}  # as configured, with what is known of B


def test_adding_an_equal_group_again_changes_nothing():
    office = Office()
    groups = office.worker()
    groups.add(Group("g", (A, B)))
    groups.mark("g", A.given, False)
    before = groups.view("g")
    groups.add(Group("g", (A, B)))
    assert groups.view("g") is before


def test_the_address_of_a_uri_is_that_of_the_first_group_that_has_it():
    office = Office()
    other = Group("other", (Upstream(A.given, "192.0.2.99:5060"), Upstream("sip:plain")))
    groups = office.worker(TRUNKS, other)
    assert groups.address_of(A.given) == "192.0.2.1:5060"
    assert office.worker(other, TRUNKS).address_of(A.given) == "192.0.2.99:5060"
    assert groups.address_of("sip:plain") is None
    assert groups.address_of("sip:new") is None
    office.worker().add(Group("made", (Upstream("sip:new", "192.0.2.50:5060"), Upstream(A.given, "192.0.2.51:5060"))))
    assert groups.address_of("sip:new") == "192.0.2.50:5060"
    assert groups.address_of(A.given) == "192.0.2.1:5060"
    office.worker().remove("made")
    assert groups.address_of("sip:new") is None


def test_a_table_that_does_not_answer_leaves_what_was_read_last_and_the_turns_go_on():
    office = Office()
    groups = office.worker()
    groups.mark("trunks", A.given, False)
    groups.mark("trunks", A.given, True)
    assert chosen(groups, times=2) == "ab"
    office.table.busy = {where for owner in (GROUP, TURN) for where, _, _ in office.table.owned(owner)}
    assert chosen(groups) == "abab"
    assert chosen(office.worker(), times=2) == "ab"  # by its settings and its own count
    with pytest.raises(StoreError):
        groups.mark("trunks", A.given, False)
    with pytest.raises(StoreError):
        groups.add(Group("trunks", (C,)))
    office.table.busy = set()
    assert chosen(groups) == "abab"


def test_a_full_table_refuses_groups_and_still_chooses():
    office = Office(MemoryTable(records=1))
    groups = office.worker()
    assert groups.mark("trunks", A.given, True)  # no change, no record
    with pytest.raises(StoreError, match="max_gateway_groups"):
        for number in range(3):
            groups.add(Group(f"g{number}", (A,)))
    assert chosen(groups) == "abab"


def test_a_record_that_cannot_be_read_is_none():
    office = Office()
    groups = office.worker()
    groups.add(Group("made", (A,)))
    groups.mark("trunks", A.given, False)
    for where, version, _ in office.table.owned(GROUP):
        office.table.commit(where, version, b"\x93\x01\x02", owner=GROUP)
    assert groups.select("made") is None
    assert chosen(groups, times=2) == "ab"
    assert groups.mark("trunks", B.given, False)
    assert chosen(groups, times=2) == "aa"
    groups.add(Group("made", (C,)))
    assert chosen(groups, "made", 1) == "c"


def test_a_group_that_does_not_fit_into_a_record_is_refused():
    groups = Office().worker()
    large = Group("g", tuple(Upstream(f"sip:{number}.example.net", attrs={"x": "y" * 200}) for number in range(400)))
    with pytest.raises(ValueError, match="65536"):
        groups.add(large)
    assert groups.select("g") is None


def test_tidy_writes_down_what_is_configured_and_removes_what_means_nothing():
    office = Office()
    office.worker().mark("trunks", A.given, False)
    old = office.worker(Group("old", (C,)))
    old.tidy()
    now = office.worker(Group("trunks", (B, C)), Group("gone", (A,)))
    now.add(Group("made", (A,)))
    now.remove("gone")
    now.tidy()
    found = {view.group.name: view for view in stored(office.table)}
    assert {name: view.kind for name, view in found.items()} == {
        "trunks": Kind.CONFIGURED,
        "made": Kind.DYNAMIC,
        "gone": Kind.REMOVED,
    }
    assert found["trunks"].group.upstreams == (B, C)
    assert found["trunks"].healths == {}
    version = now.view("trunks").version
    now.tidy()
    assert now.view("trunks").version == version
    later = office.worker(Group("trunks", (B, C)), epoch="start 2")
    later.tidy()
    assert {view.group.name for view in stored(office.table)} == {"trunks", "made"}


def test_turns_of_a_removed_group_go_with_it():
    office = Office()
    groups = office.worker()
    groups.add(Group("g", (A, B, Upstream("sip:x", priority=2), Upstream("sip:y", priority=2))))
    chosen(groups, "g", 3)
    assert len(office.table.owned(TURN)) == 1
    groups.add(Group("g", (Upstream("sip:x", priority=2), Upstream("sip:y", priority=2))))
    assert office.table.owned(TURN) == []
    chosen(groups, "g", 3)
    groups.remove("g")
    assert office.table.owned(TURN) == []


# -- several processes over shared memory


@pytest.fixture
def table(tmp_path: Any) -> Any:
    return Table.create(tmp_path / "table", records=512, blocks=2048, slots=8)


def test_turns_of_several_processes_are_taken_once_each(table):
    office = Office(table)

    def work(place: int) -> int:
        groups = office.worker()
        return sum(groups.select("trunks") is A for _ in range(240))

    given = together(work)
    assert sum(given) == PROCESSES * 120
    assert table.verify().sound


def test_marks_and_groups_of_several_processes_at_once_are_all_kept(table):
    office = Office(table)
    wide = Group("wide", tuple(Upstream(f"sip:{number}.example.net") for number in range(PROCESSES * 10)))

    def work(place: int) -> int:
        groups = office.worker(wide)
        for number in range(10):
            groups.mark("wide", f"sip:{place * 10 + number}.example.net", False)
            groups.add(Group(f"g{place}-{number}", (A,)))
        return 1

    assert together(work) == [1] * PROCESSES
    groups = office.worker(wide)
    assert groups.select("wide") is None
    assert len(groups.names()) == 1 + PROCESSES * 10
    orders = [groups.view(name).order for name in groups.names()]
    assert all(before <= after for before, after in pairwise(orders))
    assert table.verify().sound


# -- what a script may give


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "needs a uri"),
        ({"uri": "nonsense"}, "nonsense"),
        ({"uri": "sips:a"}, "sip: URI"),
        ({"uri": "sip:a", "address": "host:5060"}, "ip:port"),
        ({"uri": "sip:a", "address": "192.0.2.1"}, "'sip:a': address: must be \"ip:port\""),
        ({"uri": "sip:a\r\nX: y"}, r"^uri: not a URI: b'sip:a\\r\\nX: y'$"),
        ({"uri": "sip:a", "transport": "tls"}, "UDP"),
        ({"uri": "sip:a;transport=tcp"}, "UDP"),
        ({"uri": "sip:a", "weight": -1}, "^'sip:a': weight is a number"),
        ({"uri": "sip:a", "priority": True}, "^'sip:a': priority is a number"),
        ({"uri": "sip:a", "attrs": {"x": object()}}, "attrs"),
        ({"uri": "sip:a", "attrs": {"x": 1 << 63}}, "attrs"),
        ({"uri": "sip:a", "attrs": {"x": -(1 << 63) - 1}}, "attrs"),
        ({"uri": "sip:a", "wieght": 2}, "wieght"),
    ],
)
def test_what_cannot_be_a_destination_is_a_value_error(given, error):
    with pytest.raises(ValueError, match=error):
        upstreams_of([given])


def test_a_destination_has_the_defaults_of_the_configuration():
    assert upstreams_of([{"uri": "sip:a"}]) == (Upstream("sip:a", "", "udp", 1, 1, {}),)
    with pytest.raises(ValueError, match="at least one"):
        upstreams_of([])
    with pytest.raises(TypeError):
        upstreams_of({"uri": "sip:a"})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        upstreams_of(["sip:a"])  # type: ignore[list-item]


def test_the_uri_that_scripts_see_names_a_transport_that_is_not_udp():
    assert Upstream("sip:a", transport="tcp").uri == "sip:a;transport=tcp"
    assert Upstream("sip:a").uri == "sip:a"
    assert Group("g", (Upstream("sip:a", transport="tcp"),)).find("sip:a;transport=tcp")


def test_a_process_that_is_killed_has_taken_its_turn_or_has_not_and_leaves_no_damage(table):
    office = Office(table)
    told, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        groups = office.worker()
        while True:
            groups.select("trunks")
            groups.mark("trunks", A.given, groups.view("trunks").usable == [B])
            os.write(say, b".")
    os.close(say)
    assert os.read(told, 1) == b"."
    time.sleep(0.05)  # it dies wherever it is by then
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(told)
    groups = office.worker()
    groups.mark("trunks", A.given, True)
    assert set(chosen(groups)) == {"a", "b"}
    groups.add(Group("made", (C,)))
    assert chosen(groups, "made", 1) == "c"
    assert table.verify().sound
