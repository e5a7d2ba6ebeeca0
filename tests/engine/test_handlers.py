"""on_reply, on_failure, on_cancel and per-relay callbacks, through records and commits (API 7.6, 8, 9.1)."""

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

HEAD = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.vars['n'] = 1\n"
RELAY = HEAD + "    request.relay('sip:127.0.0.2:5090')\n"


def called(make_world: Make, script: str, method: str = "INVITE") -> tuple[World, Agent, Agent, SipMessage]:
    world = make_world(script)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    world.agent("127.0.0.2", 5099)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return world, caller, callee, callee.inbox[0]


def test_on_reply_edits_every_response(make_world: Make) -> None:
    script = RELAY + (
        "@proxy.on_reply\ndef back(request, reply):\n"
        "    reply.set_header('X-Seen', str(request.vars['n']))\n    reply.relay()\n"
    )
    _, caller, callee, seen = called(make_world, script)
    for status in (180, 200, 200):
        callee.answer(seen, status)
    assert [m.first("X-Seen") for m in caller.inbox] == [None, b"1", b"1", b"1"]


def test_a_failure_is_acknowledged_before_on_reply_and_carries_its_edits(make_world: Make) -> None:
    script = (
        RELAY + "@proxy.on_reply\ndef back(request, reply):\n    reply.remove_header('Server')\n    reply.relay()\n"
    )
    _, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 486, headers=[("Server", "phone")])
    assert callee.requests == ["INVITE", "ACK"]
    assert caller.statuses == [100, 486] and not caller.last.has("Server")


def test_a_dropped_provisional_ends_nothing(make_world: Make) -> None:
    script = RELAY + (
        "@proxy.on_reply\ndef back(request, reply):\n    if reply.status_code != 180:\n        reply.relay()\n"
    )
    _, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 180)
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200]


def test_a_dropped_failure_is_still_the_answer(make_world: Make) -> None:
    _, caller, callee, seen = called(make_world, RELAY + "@proxy.on_reply\ndef back(request, reply):\n    pass\n")
    callee.answer(seen, 486)
    assert caller.statuses == [100, 486]


def test_a_dropped_2xx_leaves_500(make_world: Make) -> None:
    _, caller, callee, seen = called(make_world, RELAY + "@proxy.on_reply\ndef back(request, reply):\n    pass\n")
    callee.answer(seen, 200)
    assert caller.statuses == [100, 500] and caller.last.reason == b"Response Dropped"
    callee.answer(seen, 200)
    assert caller.statuses == [100, 500]


def test_reject_answers_the_caller_and_cancels(make_world: Make) -> None:
    script = RELAY + "@proxy.on_reply\ndef back(request, reply):\n    reply.reject(480)\n"
    _, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 180)
    assert caller.statuses == [100, 480] and callee.requests == ["INVITE", "CANCEL"]
    callee.answer(seen, 487)
    assert caller.statuses == [100, 480]


def test_a_raising_on_reply_lets_the_response_pass(make_world: Make) -> None:
    script = RELAY + "@proxy.on_reply\ndef back(request, reply):\n    raise ValueError('x')\n"
    _, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200]


def test_fork_06_on_failure_may_try_another_target(make_world: Make) -> None:
    script = RELAY + (
        "@proxy.on_failure\ndef failed(request, reply):\n"
        "    if reply.status_code == 486:\n        request.relay('sip:127.0.0.2:5099')\n"
        "    else:\n        reply.relay()\n"
    )
    world, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 486)
    second = world.agent("127.0.0.2", 5099)
    assert caller.statuses == [100] and second.requests == ["INVITE"]
    assert second.last.max_forwards == 69 and second.last.via_count == 2
    second.answer(second.last, 200)
    assert caller.statuses == [100, 200]


def test_on_failure_may_answer(make_world: Make) -> None:
    script = RELAY + "@proxy.on_failure\ndef failed(request, reply):\n    request.reply(480, 'Later')\n"
    _, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 480] and caller.last.reason == b"Later"


def test_on_failure_that_does_nothing_or_raises_forwards_the_failure(make_world: Make) -> None:
    for body in ("pass", "raise KeyError('x')", "reply.set_header('X-Edited', '1'); reply.relay(); raise KeyError"):
        script = RELAY + f"@proxy.on_failure\ndef failed(request, reply):\n    {body}\n"
        _, caller, callee, seen = called(make_world, script)
        callee.answer(seen, 486)
        assert caller.statuses == [100, 486] and not caller.last.has("X-Edited")


def test_a_script_that_retargets_for_ever_is_stopped_after_eight(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr("siphon.script.log.advise", warned.append)
    script = RELAY + "@proxy.on_failure\ndef failed(request, reply):\n    request.relay('sip:127.0.0.2:5090')\n"
    _, caller, callee, _ = called(make_world, script)
    invites = []
    for _ in range(20):
        pending = [m for m in callee.take() if m.method == "INVITE"]
        invites += pending
        for invite in pending:
            callee.answer(invite, 486)
    assert caller.statuses == [100, 486]
    assert len({m.via.branch for m in invites}) == 9
    assert {m.max_forwards for m in invites} == {69}  # lowered once from the original
    assert warned == ["on_failure may not try further targets after 8 attempts: the failure is forwarded"]


def test_per_relay_callbacks_get_the_failure_first(make_world: Make) -> None:
    script = HEAD + (
        "    request.relay('sip:127.0.0.2:5090', on_failure=busy)\n"
        "def busy(request, code, reason):\n    request.reply(603, f'{code} {reason}')\n"
    )
    _, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 603] and caller.last.reason == b"486 Busy Here"


def test_on_cancel_runs_once_and_changes_nothing(make_world: Make) -> None:
    script = RELAY + "seen = []\n@proxy.on_cancel\ndef gone(request):\n    seen.append(request.method)\n"
    world, caller, callee, seen = called(make_world, script)
    callee.answer(seen, 180)
    for worker in (0, 1):
        caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"), worker)
    callee.answer(seen, 487)
    assert caller.statuses == [100, 180, 200, 200, 487]
    assert not any(record.claims for record in world.records())


def test_a_handler_that_raises_gives_500(make_world: Make) -> None:
    world = make_world("from siphon import proxy\n@proxy.on_request\ndef route(request):\n    1 / 0\n")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert caller.statuses == [500] and caller.last.reason == b"Script Error"


def test_no_action_is_silence_and_the_repeat_runs_the_handlers_again(make_world: Make) -> None:
    world = make_world("from siphon import proxy\n@proxy.on_request\ndef route(request):\n    pass\n")
    caller = world.agent("192.0.2.1")
    text = caller.request("INVITE", "sip:bob@example.com")
    caller.send(text)
    caller.send(text)
    assert caller.inbox == [] and not list(world.records())


def test_a_method_without_handler_gets_405_with_allow(make_world: Make) -> None:
    world = make_world(
        "from siphon import proxy\n@proxy.on_request('INVITE|BYE')\ndef route(request):\n    request.reply(200, 'OK')\n"
    )
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    assert caller.statuses == [405] and caller.last.first("Allow") == b"INVITE, ACK, CANCEL, BYE"


def test_a_dropped_2xx_leaves_500_whatever_failed_before_and_on_failure_does_not_run(make_world: Make) -> None:
    script = HEAD + (
        "    request.fork(['sip:127.0.0.2:5090', 'sip:127.0.0.2:5091', 'sip:127.0.0.2:5092'])\n"
        "@proxy.on_reply\ndef back(request, reply):\n    if reply.status_code != 200:\n        reply.relay()\n"
        "@proxy.on_failure\ndef failed(request, reply):\n    request.reply(480, 'Later')\n"
    )
    world = make_world(script)
    caller = world.agent("192.0.2.1")
    phones = [world.agent("127.0.0.2", port) for port in (5090, 5091, 5092)]
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    asked = [phone.last for phone in phones]
    phones[2].answer(asked[2], 180)
    phones[0].answer(asked[0], 486)
    phones[1].answer(asked[1], 200)
    assert phones[2].requests == ["INVITE", "CANCEL"] and caller.statuses == [100, 180]
    phones[2].answer(asked[2], 487)
    assert caller.statuses == [100, 180, 500] and caller.last.reason == b"Response Dropped"


def test_on_reply_sees_a_provisional_to_a_non_invite_which_goes_no_further(make_world: Make) -> None:
    script = RELAY + (
        "@proxy.on_reply\ndef back(request, reply):\n"
        "    request.vars['seen'] = request.vars.get('seen', '') + f'{reply.status_code} '\n"
        "    reply.set_header('X-Seen', request.vars['seen'])\n    reply.relay()\n"
    )
    _, caller, callee, seen = called(make_world, script, "MESSAGE")
    for status in (100, 183, 200):
        callee.answer(seen, status)
    assert caller.statuses == [200] and caller.last.first("X-Seen") == b"183 200"


def test_reject_on_a_provisional_to_a_non_invite_answers_it_and_absorbs_its_final(make_world: Make) -> None:
    script = RELAY + "@proxy.on_reply\ndef back(request, reply):\n    reply.reject(480)\n    reply.relay()\n"
    _, caller, callee, seen = called(make_world, script, "MESSAGE")
    for status in (183, 200):
        callee.answer(seen, status)
    assert caller.statuses == [480] and callee.requests == ["MESSAGE"]
