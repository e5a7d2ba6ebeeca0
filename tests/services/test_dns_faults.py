"""What DNS servers may do wrong: nothing there, no answer, answers that are too long or not theirs."""

from collections.abc import Iterator

import pytest
from dns_bench import Bench, bare, with_port

from siphon.services.dns import ares
from siphon.testing.nameserver import CNAME, NAPTR, SRV, A, a, cname, naptr, srv


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(ares, "CHANNEL_SECS", 0.0)
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("fault", ["nxdomain", "empty", "servfail", "timeout", "no server"])
def test_dns_08_a_name_that_does_not_resolve_has_no_addresses_within_the_limit(bench: Bench, fault: str) -> None:
    servers: dict[str, object] = {}
    if fault == "empty":
        bench.server.zone = {name: [(CNAME + 11, 60, b"")] for name in ("a.example", "_sip._udp.a.example")}
    elif fault == "servfail":
        bench.server.failing = {A, SRV, NAPTR}
    elif fault == "timeout":
        bench.server.silent = {A, SRV, NAPTR}
    elif fault == "no server":
        servers = {"servers": ["127.0.0.1:9"]}
    assert bench.ask_within_limit(bare("a.example"), with_port("a.example"), **servers) == [[], []]


def test_dns_10_a_chain_of_cnames_is_followed_and_a_long_one_ends(bench: Bench) -> None:
    bench.server.zone = {"a.example": [cname("b.example")], "b.example": [a("192.0.2.1")]}
    bench.server.zone |= {f"c{n}.example": [cname(f"c{n + 1}.example")] for n in range(1000)}
    bench.server.zone["z.example"] = [cname("z.example"), cname("c0.example")]
    assert bench.ask(with_port("a.example")) == [[("192.0.2.1", 5060)]]
    assert bench.ask_within_limit(with_port("c0.example"), with_port("z.example")) == [[], []]
    assert len(bench.server.asked) < 40


def test_dns_10_a_name_that_is_its_own_cname_ends(bench: Bench) -> None:
    bench.server.zone = {"a.example": [cname("a.example")]}
    assert bench.ask(with_port("a.example")) == [[]]
    assert len(bench.server.asked) < 10


@pytest.mark.parametrize("tcp", ["silence", "close"])
def test_dns_10_a_truncated_answer_without_tcp_behind_it_costs_the_limit(bench: Bench, tcp: str) -> None:
    bench.server.tcp = tcp
    bench.server.zone = {"a.example": [a(f"10.0.0.{n}") for n in range(1, 200)]}
    assert bench.ask_within_limit(with_port("a.example")) == [[]]
    assert 0 < bench.server.streams < 10 and len(bench.server.asked) < 10


def test_dns_10_a_thousand_naptr_records_lead_to_a_few_questions(bench: Bench) -> None:
    bench.server.zone = {"a.example": [naptr(n, 1, "s", "SIP+D2U", f"s{n}.example") for n in range(1000)]}
    assert bench.ask(bare("a.example")) == [[]]
    assert bench.server.streams == 1
    assert {host for host, _ in bench.server.asked} == {"a.example", "_sip._udp.a.example", "s0.example", "s1.example"}


@pytest.mark.parametrize("answered", [True, False])
def test_dns_10_forged_answers_are_never_taken_and_cost_no_more_than_silence(bench: Bench, answered: bool) -> None:
    bench.server.liar = a("198.51.100.66")
    bench.server.zone = {"a.example": [a("192.0.2.1")]}
    if not answered:
        bench.server.silent = {A}
    if answered:
        assert bench.ask(with_port("a.example")) == [[("192.0.2.1", 5060)]]
    else:
        assert bench.ask_within_limit(with_port("a.example")) == [[]]
    assert len(bench.server.asked) < 10


def test_dns_10_random_bytes_for_an_answer_are_not_taken(bench: Bench) -> None:
    bench.server.answer = lambda number, *_: number + bytes(range(200))  # type: ignore[method-assign]
    assert bench.ask_within_limit(bare("a.example"), limits=9) == [[]]
    assert len(bench.server.asked) < 20


def test_dns_03_a_target_of_the_root_among_others_is_passed_over(bench: Bench) -> None:
    bench.server.zone = {
        "_sip._udp.a.example": [srv(1, 0, 5061, "."), srv(2, 0, 5062, "h.example")],
        "h.example": [a("192.0.2.1")],
    }
    assert bench.ask(bare("a.example")) == [[("192.0.2.1", 5062)]]
