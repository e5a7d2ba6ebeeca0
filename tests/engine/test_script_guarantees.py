"""What scripts may rely on whatever worker runs them: guarantees, versions, outcomes (API 1, 3, 4)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from siphon.config.testing import settings_for_tests
from siphon.engine.counters import Counter
from siphon.services.store import StoreError
from siphon.testing.world import World

Make = Callable[..., World]
HEAD = "import asyncio\nfrom siphon import log, proxy, registrar, timer\n"


def noted(world: World, version: int = 1) -> list[object]:
    """The list NOTED of a version of the script."""
    module = world.workers[0].runtime.script(version).modules["siphon_user_script"]
    found: list[object] = module.NOTED  # type: ignore[attr-defined]
    return found


FACTS = """
NOTED = []
def facts(request):
    plain = [getattr(request, name) for name in (
        "method", "from_tag", "to_tag", "call_id", "cseq", "in_dialog", "max_forwards", "body", "content_type",
        "transport", "source_ip", "source_port", "user_agent", "event", "auth_user", "contact_expires", "route_user",
        "consumed_routes", "consumed_route_user", "vars")]
    texts = [str(uri) for uri in (request.ruri, request.from_uri, request.to_uri, request.consumed_route)]
    flow = request.flow
    own = [request.get_header(name) for name in ("Via", "Record-Route", "X-Mine", "Route")]
    return plain, texts, flow, own, request.has_header("Record-Route")

@proxy.on_request
def route(request):
    request.auth_user = "alice"
    request.set_header("X-Mine", "1")
    request.ruri.user = "robert"
    request.vars["n"] = [1, b"2", None]
    request.record_route()
    request.loose_route()
    NOTED.append(facts(request))
    request.relay("sip:127.0.0.2:5090")

@proxy.on_reply
def back(request, reply):
    NOTED.append(facts(request))
    assert request.vars is reply.vars
    reply.relay()

@proxy.on_failure
def failed(request, reply):
    NOTED.append(facts(request))
    reply.relay()

@proxy.on_cancel
def cancelled(request):
    NOTED.append(facts(request))
"""


@pytest.mark.parametrize("end", ["failure", "cancel"])
def test_g1_every_property_has_the_same_value_in_every_handler_of_every_worker(make_world: Make, end: str) -> None:
    world = make_world(HEAD + FACTS, workers=3)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request(
        "INVITE",
        "sip:bob@example.com",
        branch="z9hG4bK-one",
        call_id="c1",
        headers="User-Agent: phone\nExpires: 60\nRecord-Route: <sip:192.0.2.3;lr>\nContent-Type: text/plain\n",
        body="hello",
    )
    caller.send(text, 0)
    callee.answer(callee.inbox[0], 180, worker=1)
    if end == "failure":
        callee.answer(callee.inbox[0], 486, worker=2)
    else:
        caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"), 2)
    seen = noted(world)
    assert len(seen) == (4 if end == "failure" else 3)
    assert all(facts == seen[0] for facts in seen)
    plain, texts, _, own, _ = seen[0]  # type: ignore[misc]
    assert plain[0] == "INVITE" and plain[6] == 70 and plain[7] == b"hello" and plain[14] == "alice"
    assert texts[0] == "sip:robert@example.com"
    assert own[:3] == [
        "SIP/2.0/UDP 192.0.2.1:5060;rport=5060;branch=z9hG4bK-one;received=192.0.2.1",
        "<sip:192.0.2.3;lr>",
        "1",
    ]


SLOW = """
@proxy.on_request
async def route(request):
    log.error("runs")
    await asyncio.sleep(1)
    request.reply(200, "OK")
"""


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_g5_handlers_that_deaths_cut_off_run_again_at_most_twice_then_the_answer_is_500(
    make_world: Make, deaths: int, capfd: pytest.CaptureFixture[str]
) -> None:
    world = make_world(HEAD + SLOW)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"), 0)
    for _ in range(deaths):
        world.advance(0.6)
        slot = next(worker.slot for worker in world.workers if worker.runtime.pending)
        world.kill(slot)
        world.replace(slot)
    world.advance(10)
    assert capfd.readouterr().err.count(" runs") == min(deaths + 1, 3)
    assert caller.statuses == ([200] if deaths < 3 else [500])


def test_g10_shared_state_that_does_not_answer_is_a_runtime_error_and_500(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert issubclass(StoreError, RuntimeError)
    world = make_world(HEAD + "@proxy.on_request\ndef route(request):\n    registrar.lookup(request.ruri)\n")
    monkeypatch.setattr(world.location_table, "get", lambda key: -2)  # BUSY
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert (caller.last.status, caller.last.reason) == (500, b"Script Error")
    assert "did not answer in time" in capfd.readouterr().err


@pytest.mark.parametrize(("waits", "answers"), [(0.1, []), (0.3, [100, 500])])
def test_handlers_that_leave_nothing_after_a_100_has_gone_out_end_in_500_no_action(
    make_world: Make, waits: float, answers: list[int]
) -> None:
    script = f"@proxy.on_request\nasync def route(request):\n    await asyncio.sleep({waits})\n"
    world = make_world(HEAD + script)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    world.advance(5)
    assert caller.statuses[:2] == answers
    assert not answers or caller.last.reason == b"No Action"


def test_beyond_the_queue_capacity_new_requests_get_a_stateless_503(make_world: Make, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(HEAD + SLOW)
    settings = settings_for_tests(script={"path": str(path), "executor_queue_capacity": 2})
    world = make_world(path, workers=1, settings=settings)
    caller = world.agent("192.0.2.1")
    running = [caller.request("MESSAGE", "sip:bob@example.com") for _ in range(2)]
    for text in running:
        caller.send(text)
    refused = caller.request("MESSAGE", "sip:bob@example.com")
    for text in (refused, running[0], refused):
        caller.send(text)
    assert caller.statuses == [503, 503] and caller.last.has("Retry-After")
    assert len(list(world.records())) == 2
    world.advance(2)
    assert caller.statuses[2:] == [200, 200]
    caller.send(refused)
    world.advance(2)
    assert caller.statuses[4:] == [200]


# -- versions of the script

VERSION = """
NOTED = []
@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090", on_reply=called_back)

@proxy.on_reply
def back(request, reply):
    reply.set_header("X-Version", "{0}")
    reply.relay()

def called_back(request, reply):
    reply.set_header("X-Callback", "{0}")
    reply.relay()
"""


def versions(make_world: Make, count: int, last: str = "") -> tuple[World, list[bytes | None]]:
    """An INVITE is relayed by version 1; X-Version and X-Callback of a 180 that comes after `count` reloads."""
    world = make_world(HEAD + VERSION.format(1))
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    for number in range(count):
        text = HEAD + VERSION.format(2 + number)
        world.reload(text.replace(*last.split("->")) if last and number == count - 1 else text)
    callee.answer(callee.last, 180)
    return world, [caller.last.first("X-Version"), caller.last.first("X-Callback")]


@pytest.mark.parametrize(("reloads", "version"), [(0, b"1"), (1, b"1"), (2, b"3"), (3, b"4")])
def test_shared_27_a_transaction_runs_in_its_version_while_it_is_one_of_the_last_two_then_in_the_current_one(
    make_world: Make, reloads: int, version: bytes
) -> None:
    assert versions(make_world, reloads)[1] == [version, version]


FAILOVER = """
@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")

@proxy.on_failure
def failed(request, reply):
    request.reply(600 + {0}, "Version {0}")
"""
BARE = """
@proxy.on_request
def route(request):
    request.reply(200, "Current")
"""


@pytest.mark.parametrize(
    ("scripts", "final"),
    [([], 601), ([FAILOVER.format(2)], 601), ([BARE], 601), ([BARE, FAILOVER.format(3)], 603), ([BARE, BARE], 486)],
)
def test_shared_27_on_failure_is_that_of_the_version_or_of_the_current_one_or_none(
    make_world: Make, scripts: list[str], final: int
) -> None:
    world = make_world(HEAD + FAILOVER.format(1))
    caller, callee, other = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090), world.agent("192.0.2.2")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    for text in scripts:
        world.reload(HEAD + text)
    callee.answer(callee.last, 486)
    assert caller.statuses == [100, final]
    if scripts and scripts[-1] == BARE:
        other.send(other.request("MESSAGE", "sip:bob@example.com"))
        assert other.last.reason == b"Current"  # new requests run in the new code at once


def test_shared_27_after_its_worker_was_restarted_a_transaction_runs_in_the_current_version(make_world: Make) -> None:
    world = make_world(HEAD + VERSION.format(1), workers=1)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    world.reload(HEAD + VERSION.format(2))
    world.bury(0)
    world.replace(0)
    callee.answer(callee.last, 180)
    assert [caller.last.first("X-Version"), caller.last.first("X-Callback")] == [b"2", b"2"]


def test_shared_27_a_callback_whose_name_is_gone_is_logged_and_counts_as_not_given(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("siphon.testing.worker.LOG_LEVEL", "warn")
    world, seen = versions(make_world, 2, last="called_back->renamed")
    assert seen == [b"3", None]
    assert "siphon_user_script:called_back is not in version 3" in capfd.readouterr().err


def test_a_handler_in_progress_finishes_in_the_code_it_began_in(make_world: Make) -> None:
    script = (
        "@proxy.on_request\nasync def route(request):\n    await asyncio.sleep(1)\n    request.reply(200, reason())\n"
        "def reason(): return '{}'\n"
    )
    world = make_world(HEAD + script.format("old"), workers=1)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    world.reload(HEAD + script.format("new"))
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    world.advance(2)
    assert [message.reason for message in caller.inbox] == [b"old", b"new"]


def test_what_registrar_and_vars_hold_survives_a_reload_and_globals_do_not(make_world: Make) -> None:
    script = (
        "COUNT = []\n@proxy.on_request\ndef route(request):\n    COUNT.append(1)\n"
        "    if request.method == 'REGISTER': registrar.save(request)\n"
        "    else: request.reply(200, f'{len(COUNT)} {len(registrar.lookup(request.ruri))}')\n"
    )
    world = make_world(HEAD + script, workers=1)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("REGISTER", "sip:example.com", to="sip:bob@example.com"))
    caller.send(caller.request("OPTIONS", "sip:bob@example.com"))
    world.reload(HEAD + script + "# another text\n")
    caller.send(caller.request("OPTIONS", "sip:bob@example.com"))
    assert [message.reason for message in caller.inbox[1:]] == [b"2 1", b"1 1"]


def test_a_script_error_is_counted_and_the_caller_gets_500(make_world: Make, capfd: pytest.CaptureFixture[str]) -> None:
    world = make_world(HEAD + "@proxy.on_request\ndef route(request):\n    request.reply(200)\n    1 / 0\n")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    assert (caller.statuses, caller.last.reason) == ([500], b"Script Error")
    assert world.count(Counter.SCRIPT_ERRORS) == 1
    assert "ZeroDivisionError" in capfd.readouterr().err
