"""gateway.*: who gets the calls, one prober for all workers, health and groups that all of them see (API 13)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.worker import loaded
from siphon.testing.world import World

Make = Callable[..., World]

SCRIPT = """
from siphon import gateway, proxy

SEEN = []

@proxy.on_request("INVITE")
def route(request):
    found = gateway.select("pool")
    if found is None:
        request.reply(480, "Nobody")
    else:
        request.relay(found)

@proxy.on_request("MESSAGE")
def ask(request):
    what = request.get_header("X-Do")
    SEEN.append(eval(what, {"gateway": gateway, "request": request}))
    if request._action is None:
        request.reply(200, "OK")

@proxy.on_reply
def back(request, reply):
    SEEN.append((reply.status_code, reply.from_gateway("pool")))
    reply.relay()
"""


class Backend(Agent):
    """Answers what comes with `status`, 0: not at all; `extra` are headers of it. An INVITE it answers with 200."""

    status = 200
    extra: list[tuple[str, str]] = []

    def receive(self, data: bytes) -> None:
        super().receive(data)
        message = parse(data)
        if message.is_request and message.method != "ACK" and self.status:
            self.world.schedule.at(self.world.clock() + 0.01, self.respond, message)

    def respond(self, message: SipMessage) -> None:
        self.answer(message, self.status or 200, headers=self.extra)

    def asked(self) -> list[SipMessage]:
        """The OPTIONS that came since the last call, without repeats."""
        new = {m.call_id: m for m in self.take() if m.is_request and m.method == "OPTIONS"}
        return list(new.values())


def backend(world: World, ip: str, port: int = 5060, status: int = 200) -> Backend:
    made = Backend(world, ip, port)
    made.status = status
    world.agents[(ip, port)] = made
    return made


def pool(*ips: str, algorithm: str = "round_robin", probe: Any = None, **options: Any) -> dict[str, Any]:
    destinations = [{"uri": f"sip:b{place}@pool.example", "address": f"{ip}:5060"} for place, ip in enumerate(ips)]
    group = {"name": "pool", "algorithm": algorithm, "destinations": destinations, **options}
    if probe is not None:
        group["probe"] = probe
    return {"groups": [group]}


def balanced(make: Make, *ips: str, interval: float = 10, threshold: int = 3, **options: Any) -> World:
    probe = {"interval_secs": interval, "failure_threshold": threshold}
    group = {name: options.pop(name) for name in ("algorithm", "source_networks") if name in options}
    world = make(options.pop("script", SCRIPT), gateway=pool(*ips, probe=probe, **group), **options)
    said(world).clear()
    return world


def said(world: World) -> list[Any]:
    script = loaded(world.settings.script.path, world.script_version)
    found: list[Any] = script.modules["siphon_user_script"].SEEN
    return found


def run(world: World, what: str, worker: int = 0, source: str = "192.0.2.77") -> Any:
    """The value of an expression in a handler of a worker."""
    caller = world.agent(source)
    seen = said(world)
    before = len(seen)
    text = caller.request("MESSAGE", "sip:a@b.example", headers=f"X-Do: {what}")
    caller.send(text, worker=worker)
    assert len(seen) > before
    return seen[before]


def status(world: World, worker: int = 0) -> list[bool]:
    return [healthy for _, healthy in run(world, "gateway.status('pool')", worker)]


def senders(world: World) -> list[int]:
    return [w.slot for w in world.workers if w.alive and w.gateways._lease.is_held]


def probes(*backends: Backend) -> int:
    return sum(len(each.asked()) for each in backends)


def test_calls_go_to_the_configured_addresses_in_turn_whatever_worker_has_them(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12")
    backends = [backend(world, "127.0.0.11"), backend(world, "127.0.0.12")]
    caller = world.agent("192.0.2.1")
    for number in range(6):
        caller.send(caller.request("INVITE", "sip:x@example.com", call_id=f"c{number}"), worker=number % 2)
        world.advance(0.1)
    for each in backends:
        invites = [m for m in each.take() if m.method == "INVITE"]
        assert len({m.call_id for m in invites}) == 3
        assert all(m.uri == b"sip:x@example.com" for m in invites)  # relay() does not change the Request-URI
    assert Counter(m.status for m in caller.take())[200] == 6


def test_one_worker_probes_each_destination_once_an_interval(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12", interval=10, workers=3)
    one, two = backend(world, "127.0.0.11"), backend(world, "127.0.0.12")
    world.advance(0.5)
    assert len(senders(world)) == 1
    (first,) = one.asked()
    assert first.uri == b"sip:b0@pool.example"
    assert first.first("To") == b"<sip:b0@pool.example>"
    assert (first.first("From") or b"").startswith(b"<sip:siphon@127.0.0.1:5060>;tag=")
    assert len(two.asked()) == 1
    world.advance(100)
    assert len(one.asked()) == 10
    assert len(two.asked()) == 10
    assert not [r for r in world.records() if r.own]


def test_from_names_what_the_settings_say(make_world: Make) -> None:
    probe = {"from_user": "watch", "from_domain": "example.org"}
    world = make_world(SCRIPT, gateway=pool("127.0.0.11", probe=probe))
    one = backend(world, "127.0.0.11")
    world.advance(1)
    (first,) = one.asked()
    assert (first.first("From") or b"").startswith(b"<sip:watch@example.org>;tag=")


@pytest.mark.parametrize(("answer", "third"), [(0, 25.0), (503, 20.0)])
def test_down_after_failure_threshold_failures_and_up_with_the_next_answer(
    make_world: Make, answer: int, third: float
) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12", interval=10, threshold=3)
    one, _ = backend(world, "127.0.0.11", status=answer), backend(world, "127.0.0.12")
    world.advance(third - 0.1)
    assert status(world, 0) == status(world, 1) == [True, True]
    world.advance(0.5)
    assert status(world, 0) == status(world, 1) == [False, True]
    one.status = 486
    world.advance(10.5)
    assert status(world, 0) == status(world, 1) == [True, True]


def test_two_failures_are_not_three(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=10, threshold=3)
    one = backend(world, "127.0.0.11", status=0)
    world.advance(19)
    one.status = 200
    world.advance(3)
    one.status = 0
    world.advance(24)
    assert status(world) == [True]
    world.advance(10)
    assert status(world) == [False]


def test_a_port_that_nobody_has_is_a_failure_at_once(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=10, threshold=1)
    world.unreachable.add(("127.0.0.11", 5060))
    world.advance(0.5)
    assert status(world) == [False]


def test_retry_after_puts_it_down_at_once_for_that_time(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=10, threshold=3)
    one = backend(world, "127.0.0.11", status=503)
    one.extra = [("Retry-After", "45")]
    world.advance(1)
    assert status(world) == [False]
    one.status, one.extra = 200, []
    assert probes(one) == 1
    world.advance(43)
    assert probes(one) == 0
    assert status(world) == [False]
    world.advance(2.5)
    assert probes(one) == 1
    assert status(world) == [True]


def test_one_that_has_asked_to_be_left_alone_is_left_alone_by_the_next_prober_too(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=10, threshold=3)
    one = backend(world, "127.0.0.11", status=503)
    one.extra = [("Retry-After", "45")]
    world.advance(1)
    one.status, one.extra = 200, []
    probes(one)
    (sender,) = senders(world)
    world.kill(sender)
    world.replace(sender)
    world.advance(40)
    assert len(senders(world)) == 1
    assert probes(one) == 0
    world.advance(5.5)
    assert probes(one) == 1
    assert status(world) == [True]


def test_what_becomes_of_calls_does_not_change_health(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=3600, threshold=1)
    one = backend(world, "127.0.0.11")
    world.advance(2)
    one.status, one.extra = 503, [("Retry-After", "60")]
    caller = world.agent("192.0.2.1")
    for number in range(5):
        caller.send(caller.request("INVITE", "sip:x@example.com", call_id=f"c{number}"))
        world.advance(1)
    assert len({m.call_id for m in caller.take() if m.status == 500}) == 5
    assert status(world) == [True]


def test_when_all_are_down_there_is_nothing_to_select(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=10, threshold=1)
    backend(world, "127.0.0.11", status=0)
    world.advance(6)
    assert run(world, "gateway.select('pool')") is None
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:x@example.com"))
    assert caller.last.status == 480


def test_when_the_prober_dies_another_one_goes_on_and_knows_what_was_found(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12", interval=10, threshold=2, workers=3)
    one, two = backend(world, "127.0.0.11", status=0), backend(world, "127.0.0.12")
    world.advance(16)
    assert status(world) == [False, True]
    (sender,) = senders(world)
    world.kill(sender)
    living = next(w.slot for w in world.workers if w.alive)
    assert status(world, living) == [False, True]
    world.replace(sender)
    probes(one, two)
    world.advance(2)
    assert len(senders(world)) == 1
    assert (len(one.asked()), len(two.asked())) == (1, 1)
    assert status(world, living) == [False, True]
    one.status = 200
    world.advance(10)
    assert status(world, living) == status(world, sender) == [True, True]


def test_while_it_drains_nothing_is_sent(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=1)
    one = backend(world, "127.0.0.11")
    world.advance(3)
    for worker in world.workers:
        worker.draining = True
    world.advance(2)
    probes(one)
    world.advance(20)
    assert probes(one) == 0
    assert senders(world) == []


def test_a_helper_does_not_probe(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", workers=1, helper=True)
    backend(world, "127.0.0.11")
    world.kill(0)
    world.advance(60)
    assert senders(world) == []


def test_a_group_that_is_not_to_be_probed_is_not(make_world: Make) -> None:
    world = make_world(SCRIPT, gateway=pool("127.0.0.11", probe={"enabled": False}))
    one = backend(world, "127.0.0.11", status=0)
    world.advance(300)
    assert one.inbox == []
    assert status(world) == [True]


def test_marks_hold_until_the_next_probe(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12", interval=10, threshold=2)
    one, two = backend(world, "127.0.0.11"), backend(world, "127.0.0.12", status=0)
    world.advance(16)
    assert status(world) == [True, False]
    assert run(world, "gateway.mark_down('pool', 'sip:b0@pool.example')") is True
    assert run(world, "gateway.mark_up('pool', gateway.list('pool')[1])") is True
    assert status(world, 1) == [False, True]
    world.advance(3)
    assert status(world, 1) == [False, True]
    world.advance(7)
    assert status(world, 1) == [True, False]
    assert probes(one, two)
    assert run(world, "gateway.mark_up('pool', 'sip:other')") is False
    assert run(world, "gateway.mark_down('none', 'sip:b0@pool.example')") is False


def test_a_group_of_a_script_is_there_in_all_workers_and_probed_where_it_says_so(make_world: Make) -> None:
    world = make_world(SCRIPT, gateway={})
    one, two = backend(world, "127.0.0.11"), backend(world, "127.0.0.12")
    make = "gateway.add_group('{}', [{{'uri': 'sip:{}'}}], probe={})"
    assert run(world, make.format("asked", "127.0.0.11", "{'interval_secs': 2}"), worker=0) is None
    assert run(world, make.format("quiet", "127.0.0.12", False), worker=0) is None
    assert run(world, "gateway.groups()", worker=1) == ["asked", "quiet"]
    assert run(world, "str(gateway.select('quiet'))", worker=1) == "sip:127.0.0.12"
    world.advance(10.5)
    assert len(one.asked()) in (5, 6)
    assert probes(two) == 0
    world.reload(SCRIPT)
    said(world).clear()
    assert run(world, "gateway.groups()", worker=1) == ["asked", "quiet"]
    assert run(world, "gateway.remove_group('asked')", worker=1) is True
    assert run(world, "gateway.remove_group('asked')", worker=0) is False
    assert run(world, "gateway.groups()", worker=0) == ["quiet"]
    world.advance(1.5)
    probes(one)
    world.advance(20)
    assert probes(one) == 0


def test_probe_true_has_the_default_settings(make_world: Make) -> None:
    world = make_world(SCRIPT, gateway={})
    one = backend(world, "127.0.0.11")
    run(world, "gateway.add_group('g', [{'uri': 'sip:127.0.0.11'}], probe=True)")
    world.advance(62)
    assert len(one.asked()) == 3


@pytest.mark.parametrize(
    "what",
    [
        "gateway.select('none')",
        "gateway.select('none', key='x', attrs={'a': 'b'})",
        "gateway.select(7)",
    ],
)
def test_an_unknown_group_selects_nothing(make_world: Make, what: str) -> None:
    assert run(make_world(SCRIPT, gateway={}), what) is None


def test_an_unknown_group_is_empty(make_world: Make) -> None:
    world = make_world(SCRIPT, gateway={})
    for what in ("gateway.list('none')", "gateway.status('none')", "gateway.groups()", "gateway.list(7)"):
        assert run(world, what) == []
    assert run(world, "gateway.remove_group('none')") is False


def test_a_destination_says_what_is_configured(make_world: Make) -> None:
    entry = {"uri": "sip:127.0.0.9", "weight": 7, "priority": 2, "attrs": {"region": "eu"}}
    world = make_world(SCRIPT, gateway={"groups": [{"name": "pool", "destinations": [entry]}]})
    (found,) = run(world, "gateway.list('pool')")
    assert (found.uri, found.address, found.weight, found.priority) == ("sip:127.0.0.9", "127.0.0.9:5060", 7, 2)
    assert found.attrs == {"region": "eu"}
    assert str(found) == "sip:127.0.0.9"
    assert found
    run(world, "gateway.mark_down('pool', 'sip:127.0.0.9')")
    assert not run(world, "gateway.list('pool')")[0]
    assert found.healthy  # a snapshot
    found.attrs["region"] = "us"
    assert run(world, "gateway.list('pool')")[0].attrs == {"region": "eu"}


def test_a_hash_group_gives_one_caller_one_destination_in_every_worker(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12", "127.0.0.13", algorithm="call_id_hash")
    for key in ("alice", "bob", "carol"):
        found = {str(run(world, f"gateway.select('pool', key='{key}')", worker)) for worker in (0, 1, 0, 1)}
        assert len(found) == 1
    assert len({str(run(world, f"gateway.select('pool', key='k{n}')")) for n in range(20)}) == 3


# -- where it leads


@pytest.mark.parametrize(
    "what",
    [
        "request.relay(gateway.list('pool')[1])",
        "request.relay(gateway.list('pool')[1].uri)",
        "request.relay('sip:b1@pool.example')",
        "request.fork([gateway.list('pool')[1]])",
        "request.fork(['sip:b1@pool.example'])",
    ],
)
def test_a_destination_and_its_uri_lead_to_the_configured_address(make_world: Make, what: str) -> None:
    world = balanced(make_world, "127.0.0.11", "127.0.0.12", interval=3600)
    one, two = backend(world, "127.0.0.11"), backend(world, "127.0.0.12")
    world.advance(1)
    probes(one, two)
    run(world, what)
    assert [m.method for m in two.take()] == ["MESSAGE"]
    assert one.inbox == []
    assert run(world, "1") == 1


def test_the_uri_of_a_group_that_a_script_made_leads_to_its_address_too(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=3600)
    two = backend(world, "127.0.0.12")
    backend(world, "127.0.0.11")
    run(world, "gateway.add_group('g', [{'uri': 'sip:late', 'address': '127.0.0.12:5060'}])", worker=0)
    run(world, "request.relay('sip:late')", worker=1)
    assert [m.method for m in two.take()] == ["MESSAGE"]


# -- names


def test_a_name_is_looked_up_again_before_each_probe_of_one_that_is_down(make_world: Make) -> None:
    entry = {"uri": "sip:gw.example.net", "weight": 1}
    probe = {"interval_secs": 10, "failure_threshold": 1}
    groups = {"groups": [{"name": "pool", "destinations": [entry], "probe": probe}]}
    world = make_world(SCRIPT, gateway=groups)
    world.resolver.names["gw.example.net"] = ["127.0.0.11"]
    backend(world, "127.0.0.11", status=0)
    two = backend(world, "127.0.0.12")
    world.advance(6)
    assert status(world) == [False]
    assert world.resolver.pending == []
    world.advance(5)
    assert len(world.resolver.pending) == 1
    world.resolver.names["gw.example.net"] = ["127.0.0.12"]
    world.resolver.answer()
    world.advance(2)
    assert probes(two) == 1
    assert status(world) == [True]
    world.advance(10)
    assert world.resolver.pending == []


def test_a_name_that_does_not_resolve_is_a_failure(make_world: Make) -> None:
    entry = {"uri": "sip:nowhere.example.net"}
    probe = {"interval_secs": 10, "failure_threshold": 2}
    groups = {"groups": [{"name": "pool", "destinations": [entry], "probe": probe}]}
    world = make_world(SCRIPT, gateway=groups)
    world.advance(9)
    assert status(world) == [True]
    world.advance(5)
    assert status(world) == [False]


# -- from_gateway


def test_from_gateway_knows_addresses_resolved_names_and_networks(make_world: Make) -> None:
    entries = [{"uri": "sip:x", "address": "127.0.0.11:5080"}, {"uri": "sip:127.0.0.12"}, {"uri": "sip:gw.example.net"}]
    group = {"name": "pool", "destinations": entries, "source_networks": ["198.51.100.0/24", "203.0.113.7"]}
    world = make_world(SCRIPT, gateway={"groups": [{**group, "probe": {"enabled": False}}]})
    world.resolver.names["gw.example.net"] = ["127.0.0.21", "127.0.0.22"]
    world.advance(1)
    world.resolver.answer()
    ours = ("127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22", "198.51.100.200", "203.0.113.7")
    for worker in (0, 1):
        for source in ours:
            assert run(world, "request.from_gateway('pool')", worker, source) is True, source
        for source in ("127.0.0.13", "198.51.101.1", "203.0.113.8"):
            assert run(world, "request.from_gateway('pool')", worker, source) is False, source
    assert run(world, "request.from_gateway('none')", 0, "127.0.0.11") is False
    assert run(world, "request.from_gateway(None)", 0, "127.0.0.11") is False


def test_a_name_that_no_longer_resolves_leaves_its_last_addresses_to_from_gateway(make_world: Make) -> None:
    probe = {"interval_secs": 10, "failure_threshold": 1}
    groups = {"groups": [{"name": "pool", "destinations": [{"uri": "sip:gw.example.net"}], "probe": probe}]}
    world = make_world(SCRIPT, gateway=groups)
    world.resolver.names["gw.example.net"] = ["127.0.0.11"]
    backend(world, "127.0.0.11")
    world.advance(2)
    assert run(world, "request.from_gateway('pool')", 0, "127.0.0.11") is True
    world.resolver.names.clear()
    world.advance(10)
    assert status(world) == [False]
    assert run(world, "request.from_gateway('pool')", 1, "127.0.0.11") is True


def test_a_reply_knows_whether_it_is_from_a_gateway(make_world: Make) -> None:
    world = balanced(make_world, "127.0.0.11", interval=3600)
    backend(world, "127.0.0.11")
    backend(world, "127.0.0.12")
    world.advance(1)
    run(world, "request.relay(gateway.select('pool'))")
    world.advance(1)
    run(world, "request.relay('sip:127.0.0.12')")
    world.advance(1)
    assert [entry for entry in said(world) if isinstance(entry, tuple)] == [(200, True), (200, False)]


# -- without


@pytest.mark.parametrize(
    "call",
    ["select('g')", "list('g')", "status('g')", "groups()", "add_group('g', [])", "remove_group('g')"]
    + ["mark_up('g', 'sip:a')", "mark_down('g', 'sip:a')"],
)
def test_without_a_gateway_section_calls_say_so_and_nothing_is_from_a_gateway(make_world: Make, call: str) -> None:
    script = SCRIPT.replace("SEEN.append(eval", "SEEN.append(caught").replace(
        "SEEN = []",
        "SEEN = []\n\ndef caught(what, names):\n    try:\n        return eval(what, names)\n"
        "    except NotImplementedError as error:\n        return str(error)\n",
    )
    world = make_world(script)
    said(world).clear()
    assert "gateway is not configured" in run(world, f"gateway.{call}")
    assert run(world, "request.from_gateway('g')") is False


def test_no_room_for_a_probe_says_nothing_about_a_destination(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = balanced(make_world, "127.0.0.11", interval=1, threshold=1)
    one = backend(world, "127.0.0.11")
    world.advance(2)
    for worker in world.workers:
        core = worker.core
        full = SimpleNamespace(insert=lambda event: event.no_room("full"), env=core.env, process=core.process)
        monkeypatch.setattr(worker.gateways.probes, "_core", full)
    probes(one)
    world.advance(20)
    assert probes(one) == 0
    view = world.workers[0].runtime.services.gateways.view("pool")
    assert [health.healthy for health in view.healths.values()] in ([], [True])
