"""What docs/scripting.md promises beside its examples."""

from collections.abc import Callable, Iterator

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

RELAY = "    request.relay('sip:127.0.0.2:5090')\n"
ROUTE = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n"

Called = Callable[..., tuple[World, Agent, Agent]]


@pytest.fixture
def called() -> Iterator[Called]:
    """`called(handler_body, rest_of_the_script)`: an INVITE has been sent; world, caller, callee."""
    worlds: list[World] = []

    def call(body: str, rest: str = "", headers: str = "") -> tuple[World, Agent, Agent]:
        world = World(ROUTE + body + rest)
        worlds.append(world)
        caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
        world.agent("127.0.0.2", 5099)
        caller.send(
            caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", headers=headers)
        )
        return world, caller, callee

    yield call
    for world in worlds:
        world.close()


UNPARSABLE = [
    "request.remove_header('Call-ID')",
    "request.remove_header('To')",
    "request.set_header('CSeq', 'x')",
    "request.set_header('From', 'junk <')",
    "request.set_header('Max-Forwards', 'abc')",
    "request.set_body('x' * 70000, 'text/plain')",
]


@pytest.mark.parametrize("edit", UNPARSABLE)
def test_an_edit_that_breaks_the_request_is_a_script_error(called, edit):
    _, caller, _ = called(f"    {edit}\n{RELAY}")
    assert caller.statuses[-1] == 500 and caller.last.reason == b"Script Error"


def test_an_edit_that_breaks_a_response_lets_it_pass_as_it_came(called):
    _, caller, callee = called(
        RELAY,
        "@proxy.on_reply\ndef back(request, reply):\n    reply.remove_header('CSeq')\n    reply.relay()\n",
    )
    callee.answer(callee.inbox[0], 486)
    assert caller.statuses == [100, 486]


def test_a_flow_without_addresses_is_a_value_error_of_the_script(called):
    _, caller, _ = called("    from siphon import Flow\n    request.relay(flow=Flow('udp', 'x', 'y'))\n")
    assert caller.statuses[-1] == 500


@pytest.mark.parametrize(
    "edit", ["set_header('Call-ID', 'other')", "set_header('From', '<sip:x@example.com>;tag=other')"]
)
def test_a_changed_call_id_or_tag_either_works_or_is_refused(called, edit):
    _, caller, callee = called(f"    request.{edit}\n{RELAY}")
    if callee.inbox:
        callee.answer(callee.inbox[0], 200)
    assert caller.statuses[-1] in (200, 500)


def test_a_fork_that_fits_no_record_is_answered(called):
    world, caller, _ = called("    request.fork([f'sip:127.0.0.2:5090;n={n}' for n in range(80)])\n")
    world.advance(40)
    assert caller.statuses and caller.statuses[-1] >= 500


def test_a_reliable_provisional_has_an_rseq(called):
    _, caller, _ = called("    request.reply(183, 'Progress', reliable=True)\n", headers="Supported: 100rel\n")
    assert caller.last.has("RSeq")


def test_a_provisional_and_nothing_more_ends_in_500_at_timer_c(called):
    world, caller, _ = called("    request.reply(180)\n")
    world.advance(200)
    assert caller.statuses[0] == 180 and caller.statuses[-1] == 500


def test_edits_of_a_failure_made_here_go_up(called):
    _, caller, _ = called(
        "    request.relay('sip:nowhere.example')\n",
        "@proxy.on_reply\ndef back(request, reply):\n    reply.set_header('X-Seen', '1')\n    reply.relay()\n",
    )
    assert caller.last.first("X-Seen") == b"1"


def test_on_failure_may_choose_the_to_tag(called):
    _, caller, callee = called(
        RELAY,
        "@proxy.on_failure\ndef failed(request, reply):\n"
        "    request.set_reply_to_tag('mine')\n    request.reply(480)\n",
    )
    callee.answer(callee.inbox[0], 486)
    assert caller.last.to_tag == b"mine"


def test_on_failure_may_stay_on_the_path(called):
    world, _, callee = called(
        RELAY,
        "@proxy.on_failure\ndef failed(request, reply):\n"
        "    request.record_route()\n    request.relay('sip:127.0.0.2:5099')\n",
    )
    callee.answer(callee.inbox[0], 486)
    assert world.agent("127.0.0.2", 5099).last.has("Record-Route")


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_a_header_of_the_transaction_cannot_be_set_on_an_answer(called, name):
    _, caller, _ = called(f"    request.set_reply_header('{name}', 'x')\n    request.reply(404)\n")
    assert caller.statuses[-1] in (404, 500)


def test_a_retarget_after_a_6xx_is_refused_with_a_warning(called, monkeypatch):
    warned = []
    monkeypatch.setattr("siphon.script.log.advise", warned.append)
    _, caller, callee = called(
        RELAY, "@proxy.on_failure\ndef failed(request, reply):\n    request.relay('sip:127.0.0.2:5099')\n"
    )
    callee.answer(callee.inbox[0], 603)
    assert caller.statuses == [100, 603]
    assert len(warned) == 1 and "603" in warned[0]


def test_can_07_what_a_handler_arms_after_the_cancel_is_dropped_quietly(caplog):
    script = "    await asyncio.sleep(1)\n    request.relay('sip:127.0.0.2:5090')\n"
    world = World("import asyncio\n" + ROUTE.replace("def route", "async def route") + script)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    assert caller.statuses == [200, 487]
    world.advance(2)
    world.close()
    assert [record.message for record in caplog.records] == []
