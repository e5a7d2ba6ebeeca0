"""Names to addresses over a DNS server on loopback (RFC 3263 §4, RFC 2782, RFC 2308)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from dns_bench import Bench, bare, named

from siphon.config.later import Dns
from siphon.forwarding.next_hop import Hop
from siphon.services.dns import ares
from siphon.services.dns.files import HostsFile
from siphon.services.dns.order import Srv, by_priority
from siphon.testing.nameserver import AAAA, NAPTR, SRV, A, a, cname, naptr, srv


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(ares, "CHANNEL_SECS", 0.0)  # c-ares' own cache would hide changes for a second
    made = Bench()
    yield made
    made.close()


def test_dns_01_a_port_asks_for_addresses_only(bench: Bench) -> None:
    bench.server.zone = {"a.example": [a("192.0.2.1"), a("192.0.2.2")], "_sip._udp.a.example": [srv(1, 1, 9, "b")]}
    assert bench.ask(Hop("a.example", 5070, "udp", False, None)) == [[("192.0.2.1", 5070), ("192.0.2.2", 5070)]]
    assert bench.ask(Hop("a.example", 5060, "udp", False, None)) == [[("192.0.2.1", 5060), ("192.0.2.2", 5060)]]
    assert bench.server.asked == [("a.example", A)] * 2


def test_dns_02_a_bare_name_follows_the_first_naptr_for_udp(bench: Bench) -> None:
    bench.server.zone = {
        "a.example": [
            naptr(10, 1, "s", "SIP+D2T", "_sip._tcp.a.example"),
            naptr(30, 1, "s", "SIP+D2U", "three.example"),
            naptr(20, 9, "s", "SIP+D2U", "two.example"),
            naptr(20, 5, "s", "SIP+D2U", "one.example"),
        ],
        "one.example": [srv(1, 0, 5066, "host.example")],
        "two.example": [srv(1, 0, 5067, "host.example")],
        "three.example": [srv(1, 0, 5068, "host.example")],
        "host.example": [a("192.0.2.5")],
    }
    assert bench.ask(bare("a.example")) == [[("192.0.2.5", 5066)]]


def test_dns_02_a_naptr_with_flag_a_names_a_host(bench: Bench) -> None:
    bench.server.zone = {"a.example": [naptr(1, 1, "A", "sip+d2u", "h.example")], "h.example": [a("192.0.2.6")]}
    assert bench.ask(bare("a.example")) == [[("192.0.2.6", 5060)]]


def test_dns_02_without_naptr_srv_is_used_and_without_srv_the_address(bench: Bench) -> None:
    bench.server.zone = {
        "_sip._udp.a.example": [srv(1, 0, 5068, "h.example")],
        "h.example": [a("192.0.2.7")],
        "b.example": [a("192.0.2.8")],
    }
    assert bench.ask(bare("a.example"), bare("b.example")) == [[("192.0.2.7", 5068)], [("192.0.2.8", 5060)]]


def test_dns_02_a_named_transport_skips_naptr(bench: Bench) -> None:
    bench.server.zone = {
        "a.example": [naptr(1, 1, "s", "SIP+D2U", "x.example"), a("192.0.2.9")],
        "x.example": [srv(1, 0, 5069, "a.example")],
    }
    assert bench.ask(named("a.example")) == [[("192.0.2.9", 5060)]]
    assert NAPTR not in [kind for _, kind in bench.server.asked]


def test_dns_03_srv_priorities_come_in_order(bench: Bench) -> None:
    bench.server.zone = {
        "_sip._udp.a.example": [srv(20, 1, 5062, "h.example"), srv(10, 1, 5061, "h.example")],
        "h.example": [a("192.0.2.1")],
    }
    for _ in range(5):
        assert bench.ask(named("a.example")) == [[("192.0.2.1", 5061), ("192.0.2.1", 5062)]]


def test_dns_03_weights_are_drawn_in_proportion_at_every_use(bench: Bench) -> None:
    bench.server.zone = {
        "_sip._udp.a.example": [srv(1, 75, 5061, "h.example"), srv(1, 25, 5062, "h.example")],
        "h.example": [a("192.0.2.1")],
    }
    bench.ask(named("a.example"))
    first = Counter((bench.resolver.cached(named("a.example")) or [])[0][1] for _ in range(2000))
    assert 1400 < first[5061] < 1600
    assert [kind for _, kind in bench.server.asked] == [SRV, A, A]


def test_dns_03_equal_weights_of_zero_share_and_zero_beside_others_is_rare() -> None:
    draw = Random(3).random
    zero = [Srv(1, 0, 1, "a"), Srv(1, 0, 2, "b"), Srv(1, 0, 3, "c")]
    assert min(Counter(by_priority(zero, draw)[0].port for _ in range(900)).values()) > 200
    mixed = [Srv(1, 99, 1, "a"), Srv(1, 0, 2, "b")]
    assert Counter(by_priority(mixed, draw)[0].port for _ in range(1000))[2] < 40


def test_dns_03_a_target_of_the_root_means_no_service_at_all(bench: Bench) -> None:
    bench.server.zone = {"_sip._udp.a.example": [srv(0, 0, 0, ".")], "a.example": [a("192.0.2.1")]}
    assert bench.ask(bare("a.example")) == [[]]


def test_dns_07_an_answer_lives_as_long_as_its_ttl(bench: Bench) -> None:
    hop = Hop("a.example", 5060, "udp", False, None)
    bench.server.zone = {"a.example": [a("192.0.2.1", 30)]}
    assert bench.ask(hop) == [[("192.0.2.1", 5060)]]
    bench.server.zone = {"a.example": [a("192.0.2.2", 30)]}
    bench.now += 29
    assert bench.resolver.cached(hop) == [("192.0.2.1", 5060)]
    bench.now += 2
    assert bench.resolver.cached(hop) is None
    assert bench.ask(hop) == [[("192.0.2.2", 5060)]]


@pytest.mark.parametrize(("ttl_of_srv", "ttl_of_a"), [(20, 300), (300, 20)])
def test_dns_07_an_answer_of_several_records_lives_as_long_as_the_shortest(
    bench: Bench, ttl_of_srv: int, ttl_of_a: int
) -> None:
    bench.server.zone = {
        "_sip._udp.a.example": [srv(1, 1, 5066, "h.example", ttl_of_srv)],
        "h.example": [a("192.0.2.1", ttl_of_a)],
    }
    assert bench.ask(named("a.example")) == [[("192.0.2.1", 5066)]]
    bench.now += 19
    assert bench.resolver.cached(named("a.example")) is not None
    bench.now += 2
    assert bench.resolver.cached(named("a.example")) is None


def test_dns_07_the_ttl_keeps_within_ttl_min_and_ttl_max(bench: Bench) -> None:
    bench.resolver = bench.new_resolver(ttl_min=20, ttl_max=100)
    short, long = Hop("s.example", 5060, "udp", False, None), Hop("l.example", 5060, "udp", False, None)
    bench.server.zone = {"s.example": [a("192.0.2.1", 1)], "l.example": [a("192.0.2.2", 86400)]}
    bench.ask(short, long)
    bench.now += 19
    assert bench.resolver.cached(short) is not None
    bench.now += 2
    assert bench.resolver.cached(short) is None and bench.resolver.cached(long) is not None
    bench.now += 80
    assert bench.resolver.cached(long) is None


def test_dns_07_a_name_that_does_not_exist_is_remembered_too(bench: Bench) -> None:
    hop = bare("none.example")
    assert bench.ask(hop) == [[]]
    assert bench.resolver.cached(hop) == []
    bench.now += 11
    assert bench.resolver.cached(hop) is None


def test_dns_07_who_asks_for_the_same_name_waits_for_the_same_answer(bench: Bench) -> None:
    bench.server.zone = {"a.example": [a("192.0.2.1")]}
    finished: list[int] = []
    hop = Hop("a.example", 5060, "udp", False, None)
    for number in range(20):
        bench.resolver.look_up({hop}, lambda number=number: finished.append(number))
    bench.ask(hop)
    assert sorted(finished) == list(range(20)) and bench.server.asked == [("a.example", A)]


def test_dns_08_a_silent_server_costs_the_time_limit_and_no_more(bench: Bench) -> None:
    bench.server.silent = {A, SRV, NAPTR}
    # Not three times the limit: for NAPTR, SRV and A.
    assert bench.ask_within_limit(bare("a.example"), bare("b.example"), named("c.example")) == [[], [], []]


def test_dns_08_a_server_that_fails_gives_no_addresses(bench: Bench) -> None:
    bench.resolver = bench.new_resolver(ttl_min=60)
    bench.server.failing = {A, SRV, NAPTR}
    assert bench.ask(bare("a.example")) == [[]]
    bench.now += 2.5
    assert bench.resolver.cached(bare("a.example")) is None


def test_dns_08_silence_about_naptr_does_not_hide_the_rest(bench: Bench) -> None:
    bench.server.silent = {NAPTR}
    bench.resolver = bench.new_resolver(timeout_ms=6000)
    bench.server.zone = {"a.example": [a("192.0.2.1", 3600)]}
    assert bench.ask(bare("a.example")) == [[("192.0.2.1", 5060)]]
    bench.now += 31
    assert bench.resolver.cached(bare("a.example")) is None


def test_dns_10_a_loop_of_cnames_ends(bench: Bench) -> None:
    bench.server.zone = {"a.example": [cname("b.example")], "b.example": [cname("a.example")]}
    assert bench.ask(Hop("a.example", 5060, "udp", False, None)) == [[]]
    assert len(bench.server.asked) < 40


def test_dns_10_a_truncated_answer_is_asked_for_over_tcp_and_a_thousand_records_are_cut(bench: Bench) -> None:
    bench.server.zone = {"a.example": [a(f"10.0.{n // 250}.{n % 250 + 1}") for n in range(1000)]}
    (found,) = bench.ask(Hop("a.example", 5060, "udp", False, None))
    assert len(found) == 8 and found[0] == ("10.0.0.1", 5060)
    assert bench.server.streams == 1


def test_dns_10_a_thousand_srv_records_lead_to_a_few_questions(bench: Bench) -> None:
    bench.server.zone = {"_sip._udp.a.example": [srv(n, 1, 5060, f"h{n}.example") for n in range(1000)]}
    bench.server.zone |= {f"h{n}.example": [a(f"10.1.0.{n + 1}")] for n in range(20)}
    (found,) = bench.ask(named("a.example"))
    assert [ip for ip, _ in found] == [f"10.1.0.{n}" for n in range(1, 9)]
    assert len(bench.server.asked) == 9


def test_dns_10_wrong_ids_and_answers_from_elsewhere_are_not_taken(bench: Bench) -> None:
    bench.server.liar = a("198.51.100.66")
    bench.server.zone = {"a.example": [a("192.0.2.1")]}
    assert bench.ask(Hop("a.example", 5060, "udp", False, None)) == [[("192.0.2.1", 5060)]]


def test_dns_10_the_cache_has_a_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siphon.services.dns.resolver.NAMES", 3)
    hops = [Hop(f"h{n}.example", 5060, "udp", False, None) for n in range(5)]
    for hop in hops:
        bench.ask(hop)
    assert [bench.resolver.cached(hop) is None for hop in hops] == [True, True, False, False, False]


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "y." * 200, "bad name", "ä.example"])
def test_a_name_that_cannot_be_asked_for_has_no_addresses(bench: Bench, host: str) -> None:
    assert bench.ask(bare(host)) == [[]]


def test_localhost_comes_from_the_hosts_file_and_nothing_is_sent(bench: Bench) -> None:
    assert bench.ask(bare("LocalHost"), Hop("localhost", 5070, "udp", False, None)) == [
        [("127.0.0.1", 5060)],
        [("127.0.0.1", 5070)],
    ]
    assert bench.server.asked == []


def test_a_name_is_asked_for_in_the_families_of_the_listeners(bench: Bench) -> None:
    bench.resolver.configure(bench.new_resolver()._settings, [6, 4])
    bench.server.zone = {"a.example": [a("192.0.2.1"), (AAAA, 60, bytes.fromhex("20010db8" + "00" * 11 + "01"))]}
    hop = Hop("a.example", 5060, "udp", False, None)
    assert bench.ask(hop) == [[("2001:db8::1", 5060), ("192.0.2.1", 5060)]]


def test_the_hosts_file_goes_before_dns_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.addresses("pbx", 4) == [] and hosts.addresses("localhost", 6) == ["::1"]
    path.write_text("192.0.2.1 pbx PBX.example. # one\nnonsense pbx\n2001:db8::1 pbx\n192.0.2.2 pbx\n")
    assert hosts.addresses("pbx", 4) == ["192.0.2.1", "192.0.2.2"] and hosts.addresses("pbx", 6) == ["2001:db8::1"]
    assert hosts.addresses("Pbx.Example", 4) == ["192.0.2.1"]
    path.write_text("192.0.2.3 pbx\n")
    assert hosts.addresses("pbx", 4) == ["192.0.2.3"]


def test_dns_07_more_look_ups_than_may_run_wait_within_their_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siphon.services.dns.resolver.LOOK_UPS", 2)
    bench.resolver = bench.new_resolver()
    hops = [Hop(f"h{n}.example", 5060, "udp", False, None) for n in range(20)]
    bench.server.zone = {hop.host: [a("192.0.2.1")] for hop in hops}
    assert bench.ask(*hops) == [[("192.0.2.1", 5060)]] * 20
    bench.server.silent = {A}
    more = [hop._replace(host="x" + hop.host) for hop in hops]
    assert bench.ask_within_limit(*more, limits=5) == [[]] * 20, "and not ten times, two by two"


@pytest.mark.parametrize("server", ["192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:53"])
def test_dns_servers_are_addresses_with_or_without_a_port(server: str) -> None:
    assert Dns.model_validate({"servers": [server]}).servers == [server]


@pytest.mark.parametrize("server", ["ns.example", "", "192.0.2.1:0", "192.0.2.1:99999", "[2001:db8::1]"])
def test_a_dns_server_by_name_or_nonsense_is_refused(server: str) -> None:
    with pytest.raises(ValueError):
        Dns.model_validate({"servers": [server]})


def test_dns_07_an_answer_with_a_ttl_of_zero_is_there_for_who_asked(bench: Bench) -> None:
    bench.resolver = bench.new_resolver(ttl_min=0)
    bench.server.zone = {"a.example": [a("192.0.2.1", 0)]}
    hop = Hop("a.example", 5060, "udp", False, None)
    assert bench.ask(hop) == [[("192.0.2.1", 5060)]]
    bench.now += 1
    assert bench.resolver.cached(hop) is None
