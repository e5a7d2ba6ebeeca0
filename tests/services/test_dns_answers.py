"""Answers of DNS that all workers share (RFC 1035 §7.4, RFC 2308)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dns_bench import Bench, bare, named, with_port

from shm.table import Table
from siphon.services.dns import Answers, ares
from siphon.services.dns.order import Server
from siphon.services.store import pack
from siphon.state.memory import MemoryTable
from siphon.testing.nameserver import NAPTR, SRV, A, a, srv

HOP = with_port("a.example")


class Workers(Bench):
    """Two resolvers over one table; wall time and the workers' clock move together."""

    def __init__(self) -> None:
        self.table = MemoryTable(clock=self.wall)
        super().__init__(Answers(self.table, b"key", self.wall))
        self.other = self.new_resolver()

    def wall(self) -> float:
        return 1_700_000_000.0 + getattr(self, "now", 0.0)

    def stored(self) -> bytes:
        """Key of the one record."""
        ((key,), _) = self.table.keys()
        return key

    def tell(self) -> None:
        """A third worker has had an answer."""
        assert self.answers is not None
        self.answers.keep(HOP, (4,), [Server(0, 0, (("192.0.2.9", 5060),))], 60, False)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr(ares, "CHANNEL_SECS", 0.0)
    made = Workers()
    yield made
    made.other.close()
    made.close()


def test_dns_07_what_one_worker_was_told_no_other_asks_for(workers: Workers) -> None:
    workers.server.zone = {
        "_sip._udp.a.example": [srv(2, 5, 5062, "h.example", 30), srv(1, 0, 5061, "h.example", 30)],
        "h.example": [a("192.0.2.1", 30), a("192.0.2.2", 30)],
    }
    assert workers.other.cached(named("a.example")) is None
    (found,) = workers.ask(named("a.example"))
    asked = list(workers.server.asked)
    assert workers.other.cached(named("A.Example")) == found and len(found) == 4
    assert workers.server.asked == asked


def test_dns_07_a_name_that_does_not_exist_is_known_to_all(workers: Workers) -> None:
    assert workers.ask(bare("none.example")) == [[]]
    assert workers.other.cached(bare("none.example")) == []
    workers.now += 10.1
    assert workers.other.cached(bare("none.example")) is None


def test_dns_07_another_worker_keeps_an_answer_no_longer_than_the_first(workers: Workers) -> None:
    workers.server.zone = {"a.example": [a("192.0.2.1", 30)]}
    workers.ask(HOP)
    workers.now += 20
    assert workers.other.cached(HOP) == [("192.0.2.1", 5060)]
    workers.server.zone = {"a.example": [a("192.0.2.2", 30)]}
    workers.now += 10.1
    assert workers.other.cached(HOP) is None and workers.resolver.cached(HOP) is None
    assert workers.ask(HOP, resolver=workers.other) == [[("192.0.2.2", 5060)]]
    assert workers.resolver.cached(HOP) == [("192.0.2.2", 5060)]


def test_dns_07_two_workers_that_ask_at_once_find_the_same(workers: Workers) -> None:
    workers.server.zone = {"a.example": [a("192.0.2.1")]}
    finished: list[int] = []
    workers.resolver.look_up({HOP}, lambda: finished.append(1))
    assert workers.ask(HOP, resolver=workers.other) == [[("192.0.2.1", 5060)]]
    assert workers.resolver.cached(HOP) == [("192.0.2.1", 5060)] and finished == [1]
    assert len(workers.server.asked) <= 2 and workers.table.stats().records == 1


def test_dns_07_hops_that_are_asked_for_differently_are_not_mixed_up(workers: Workers) -> None:
    workers.server.zone = {"a.example": [a("192.0.2.1")], "_sip._udp.a.example": [srv(1, 1, 5099, "a.example")]}
    workers.ask(HOP)
    for hop in (bare("a.example"), named("a.example"), with_port("a.example", 5061), with_port("b.example")):
        assert workers.other.cached(hop) is None
    workers.resolver.configure(workers.resolver._settings, [6, 4])
    assert workers.resolver._told_to_others(HOP) is False


def test_dns_08_that_nobody_answers_costs_one_worker_its_time(workers: Workers) -> None:
    workers.server.silent = {A, SRV, NAPTR}
    assert workers.ask(bare("dead.example")) == [[]]
    assert workers.other.cached(bare("dead.example")) == []
    workers.now += 2.1
    assert workers.other.cached(bare("dead.example")) is None


def test_dns_07_who_heard_nothing_takes_what_another_worker_has_heard(workers: Workers) -> None:
    workers.server.silent = {A}
    finished: list[int] = []
    workers.other.look_up({HOP}, lambda: finished.append(1))
    workers.loop.call_later(0.1, workers.tell)
    assert workers.ask(HOP, resolver=workers.other) == [[("192.0.2.9", 5060)]] and finished == [1]
    assert workers.resolver.cached(HOP) == [("192.0.2.9", 5060)]


def test_dns_07_an_answer_of_no_time_is_not_for_others(workers: Workers) -> None:
    workers.resolver = workers.new_resolver(ttl_min=0)
    workers.server.zone = {"a.example": [a("192.0.2.1", 0)]}
    assert workers.ask(HOP) == [[("192.0.2.1", 5060)]]
    workers.now += 0.1
    assert workers.other.cached(HOP) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00" * 40,
        b"\xc1" * 600,
        pack([2, 1e12, []]),
        pack([1, "soon", []]),
        pack([1, 1e12, 7]),
        pack([1, 1e12, [[1, 2]]]),
        pack([1, 1e12, [["x", 2, []]]]),
        pack([1, 1e12, [[1, 2, [["pbx.example", 5060]]]]]),
        pack([1, 1e12, [[1, 2, [["192.0.2.1", 0]]]]]),
        pack([1, 1e12, [[1, 2, [["192.0.2.1", "5060"]]]]]),
        pack([1, 1e12, [[1, 2, [[7, 5060]]]]]),
        pack([1, 1e12, [[1, 2, [["192.0.2.1", 5060]] * 9]]]),
        pack([1, 1e12, [[1, 2, []]] * 9]),
    ],
)
def test_dns_10_a_shared_answer_that_cannot_be_read_is_not_known(workers: Workers, value: bytes) -> None:
    workers.server.zone = {"a.example": [a("192.0.2.1")]}
    workers.ask(HOP)
    version, _ = workers.table.get(workers.stored())  # type: ignore[misc]
    assert workers.table.commit(workers.stored(), version, value, owner=0)
    assert workers.other.cached(HOP) is None
    assert workers.ask(HOP, resolver=workers.other) == [[("192.0.2.1", 5060)]]


def test_dns_10_a_full_or_busy_table_costs_a_question_and_nothing_else(workers: Workers) -> None:
    workers.table._records = 0
    workers.server.zone = {"a.example": [a("192.0.2.1")], "b.example": [a("192.0.2.2")]}
    assert workers.ask(HOP) == [[("192.0.2.1", 5060)]]
    assert workers.ask(HOP, resolver=workers.other) == [[("192.0.2.1", 5060)]]
    workers.table._records = 9
    workers.ask(with_port("b.example"))
    workers.table.busy.add(workers.stored())
    assert workers.other.cached(with_port("b.example")) is None
    assert workers.ask(with_port("b.example"), resolver=workers.other) == [[("192.0.2.2", 5060)]]


def test_dns_10_a_clock_that_was_set_back_does_not_make_answers_older_than_ttl_max(workers: Workers) -> None:
    workers.other = workers.new_resolver(ttl_max=60)
    Answers(workers.table, b"key", workers.wall).keep(HOP, (4,), [Server(0, 0, (("192.0.2.1", 5060),))], 1e6, False)
    assert workers.other.cached(HOP) == [("192.0.2.1", 5060)]
    workers.table.delete(workers.stored(), 0)
    workers.now += 61
    assert workers.other.cached(HOP) is None


def test_dns_07_what_nobody_answered_does_not_replace_an_answer_in_shared_memory(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "hints", records=64, blocks=64, slots=8, wall_expiry=True)
    table.slot = 0
    answers = Answers(table, b"key", time.time)
    answers.keep(HOP, (4,), [Server(0, 0, (("192.0.2.1", 5060),))], 60, False)
    answers.keep(HOP, (4,), [], 60, True)
    found = answers.find(HOP, (4,))
    assert found is not None and found.servers == (Server(0, 0, (("192.0.2.1", 5060),)),) and 59 < found.seconds <= 60
    answers.keep(HOP, (4,), [], 60, False)
    found = answers.find(HOP, (4,))
    assert found is not None and found.servers == ()
