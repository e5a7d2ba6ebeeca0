"""Sentences of the script API about responses, failures, time limits and CANCEL that only a whole call shows (7.6, 7.7,
8.1-8.5, 9.1). What a handler saw is in `X-Seen` of the answer, or in the log of on_cancel."""

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

HEAD = (
    "from siphon import log, proxy\n\n"
    "def see(request, text):\n"
    "    request.vars['seen'] = request.vars.get('seen', '') + str(text) + ' '\n\n"
    "def mark(request, reply):\n"
    "    reply.set_header('X-Seen', request.vars.get('seen', '-'))\n\n"
    "@proxy.on_request\ndef route(request):\n"
)
RELAY = HEAD + "    request.relay('sip:127.0.0.2:5090'{})\n\n"
FORK = HEAD + "    request.fork(['sip:a@127.0.0.2:5090', 'sip:b@127.0.0.2:5091']{})\n\n"
ON_REPLY = "@proxy.on_reply\ndef back(request, reply):\n"
ON_FAILURE = "@proxy.on_failure\ndef failed(request, reply):\n"
SEE_ALL = ON_REPLY + "    see(request, reply.status_code)\n    mark(request, reply)\n    reply.relay()\n\n"


def called(world: World, method: str = "INVITE", headers: str = "") -> tuple[Agent, Agent, Agent]:
    """The caller and two phones; the first has been asked."""
    caller, one, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090), world.agent("127.0.0.2", 5091)
    text = caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", headers=headers)
    caller.send(text)
    return caller, one, two


def cancel(caller: Agent, *reasons: str) -> None:
    extra = "\n".join(f"Reason: {reason}" for reason in reasons)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", headers=extra))


def invite(agent: Agent) -> SipMessage:
    """The newest request but ACK and CANCEL."""
    return [m for m in agent.inbox if m.is_request and m.method not in ("ACK", "CANCEL")][-1]


def seen(agent: Agent) -> str:
    return (agent.last.first("X-Seen") or b"").decode().strip()


# -- on_reply --------------------------------------------------------------------------------------------------------


def test_on_reply_sees_failures_made_here_without_a_source(make_world: Make) -> None:
    body = "    see(request, f'{reply.status_code}/{reply.source_ip}/{reply.source_port}')\n    reply.relay()\n\n"
    failure = ON_FAILURE + "    mark(request, reply)\n    reply.relay()\n"
    targets = "    request.fork(['sip:127.0.0.2:5090', 'sip:127.0.0.1', 'sip:no.example', 'tel:+1'])\n\n"
    caller, one, _ = called(make_world(HEAD + targets + ON_REPLY + body + failure))
    one.answer(invite(one), 486)
    assert caller.statuses == [100, 486]
    assert sorted(seen(caller).split()) == [
        "416/None/None",
        "482/None/None",
        "486/127.0.0.2/5090",
        "503/None/None",
    ]


def test_a_dropped_failure_keeps_its_edits(make_world: Make) -> None:
    script = RELAY.format("") + ON_REPLY + "    reply.set_header('X-Seen', 'edited')\n    reply.set_body('b', 'a/b')\n"
    caller, one, _ = called(make_world(script))
    one.answer(invite(one), 486)
    assert (caller.last.status, seen(caller), caller.last.body) == (486, "edited", b"b")
    assert caller.last.content_length == 1 and caller.last.first("Content-Type") == b"a/b"


def test_a_dropped_2xx_ends_all_branches_and_its_copies_are_dropped_unseen(make_world: Make) -> None:
    body = "    see(request, reply.status_code)\n    mark(request, reply)\n    if reply.source_port == 5091:\n"
    caller, one, two = called(make_world(FORK.format("") + ON_REPLY + body + "        reply.relay()\n"))
    two.answer(invite(two), 180)
    answered, ringing = invite(one), invite(two)
    for _ in range(3):
        one.answer(answered, 200)
    assert caller.statuses == [100, 180] and two.requests == ["INVITE", "CANCEL"]
    two.answer(ringing, 200)  # it crosses the CANCEL
    assert caller.statuses == [100, 180, 200] and seen(caller) == "180 200 200"


def test_a_dropped_2xx_is_a_500_when_the_other_branches_have_ended(make_world: Make) -> None:
    script = FORK.format("") + ON_REPLY + "    if reply.status_code != 200:\n        reply.relay()\n"
    caller, one, two = called(make_world(script))
    two.answer(invite(two), 180)
    ringing = invite(two)
    one.answer(invite(one), 200)
    assert caller.statuses == [100, 180]
    two.answer(ringing, 487)
    assert caller.statuses == [100, 180, 500] and caller.last.reason == b"Response Dropped"


def test_after_a_dropped_2xx_no_further_target_is_tried(make_world: Make) -> None:
    targets = "['sip:a@127.0.0.2:5090', 'sip:b@127.0.0.2:5091', 'sip:c@127.0.0.2:5092']"
    fork = HEAD + f"    request.fork({targets}, 'sequential', timeout=5)\n\n"
    world = make_world(fork + ON_REPLY + "    if reply.status_code != 200:\n        reply.relay()\n")
    third = world.agent("127.0.0.2", 5092)
    caller, one, two = called(world)
    one.answer(invite(one), 180)
    given_up = invite(one)
    world.advance(5.1)
    two.answer(invite(two), 180)
    ringing = invite(two)
    one.answer(given_up, 200)  # it crosses the CANCEL
    two.answer(ringing, 487)
    assert (caller.last.status, caller.last.reason) == (500, b"Response Dropped")
    assert two.requests == ["INVITE", "CANCEL", "ACK"] and not third.inbox


def test_a_raising_handler_voids_a_reject(make_world: Make) -> None:
    script = RELAY.format("") + ON_REPLY + "    reply.reject(480)\n    1 / 0\n"
    caller, one, _ = called(make_world(script))
    one.answer(invite(one), 180)
    assert caller.statuses == [100, 180] and one.requests == ["INVITE"]


@pytest.mark.parametrize(("code", "reason"), [("503, 'Own'", b"Own"), ("480", b"Temporarily Unavailable")])
def test_reject_is_sent_as_it_is_absorbs_failures_and_lets_a_late_2xx_pass(
    make_world: Make, code: str, reason: bytes
) -> None:
    body = f"    if reply.status_code < 200:\n        reply.reject({code})\n"
    body += "    mark(request, reply)\n    reply.relay()\n\n"
    failure = ON_FAILURE + "    see(request, 'failure')\n"
    caller, one, two = called(make_world(FORK.format("") + ON_REPLY + body + failure))
    two.answer(invite(two), 100)
    one.answer(invite(one), 180)
    assert (caller.statuses, caller.last.reason) == ([100, int(code[:3])], reason)
    assert one.requests == two.requests == ["INVITE", "CANCEL"]
    two.answer(invite(two), 487)
    one.answer(invite(one), 200)
    one.answer(invite(one), 200)
    assert caller.statuses[2:] == [200, 200] and seen(caller) == "-"


def test_reject_has_no_effect_on_a_final_nor_after_a_cancel(make_world: Make) -> None:
    body = "    see(request, reply.reject(480))\n    mark(request, reply)\n    reply.relay()\n"
    caller, one, _ = called(make_world(RELAY.format("") + ON_REPLY + body))
    cancel(caller)
    one.answer(invite(one), 200)
    assert caller.statuses == [100, 200, 200] and seen(caller) == "False"


def test_after_a_cancel_the_handlers_run_for_2xx_only(make_world: Make) -> None:
    script = FORK.format("") + SEE_ALL + ON_FAILURE + "    see(request, 'failure')\n    request.reply(480, 'x')\n"
    caller, one, two = called(make_world(script))
    one.answer(invite(one), 180)
    cancel(caller)
    one.answer(invite(one), 183)
    one.answer(invite(one), 486)
    two.answer(invite(two), 180)
    two.answer(invite(two), 200)
    assert caller.statuses == [100, 180, 200, 200] and seen(caller) == "180 200"


def test_after_a_cancel_on_failure_does_not_run(make_world: Make) -> None:
    caller, one, _ = called(make_world(RELAY.format("") + ON_FAILURE + "    request.reply(480, 'x')\n"))
    one.answer(invite(one), 180)
    cancel(caller)
    one.answer(invite(one), 486)
    assert caller.statuses == [100, 180, 200, 486]


@pytest.mark.parametrize(
    "edit",
    [
        "reply.set_header('To', '<sip:b@h>;tag=evil')",
        "reply.set_header('t', '<sip:b@h>')",
        "reply.set_header('From', '<sip:a@h>')",
        "reply.set_header('Call-ID', 'evil')",
        "reply.remove_header('CSeq')",
        "reply.remove_header('Via')",
    ],
)
@pytest.mark.parametrize("status", [180, 200, 486])
def test_prx_53_edits_that_change_whose_response_it_is_are_dropped(make_world: Make, edit: str, status: int) -> None:
    body = f"    {edit}\n    reply.relay()\n\n"
    caller, one, _ = called(make_world(RELAY.format("") + ON_REPLY + body))
    one.answer(invite(one), status, tag="T1")
    assert (caller.last.status, caller.last.to_tag, caller.last.from_tag) == (status, b"T1", b"f1")
    assert (caller.last.call_id, caller.last.via_count) == (b"c1", 1)


# -- callbacks -------------------------------------------------------------------------------------------------------

CALLBACKS = (
    "def f(request, reply):\n    see(request, f'f{reply.status_code}')\n    mark(request, reply)\n    reply.relay()\n\n"
    "async def g(request, code, reason):\n    see(request, f'g{code}/{reason}')\n\n"
)


@pytest.mark.parametrize("start", [RELAY, FORK])
def test_callbacks_of_relay_and_fork_run_with_the_globals_in_their_order(make_world: Make, start: str) -> None:
    globals_ = (
        ON_REPLY
        + "    see(request, 'G')\n    reply.relay()\n\n"
        + ON_FAILURE
        + "    see(request, 'F')\n    mark(request, reply)\n    reply.relay()\n"
    )
    caller, one, two = called(make_world(start.format(", on_reply=f, on_failure=g") + CALLBACKS + globals_))
    one.answer(invite(one), 404, "Not Here At All")
    if two.inbox:
        two.answer(invite(two), 486)
    both = "G f404 G f486" if two.inbox else "G f404"
    assert (caller.statuses, seen(caller)) == ([100, 404], f"{both} g404/Not Found F")


@pytest.mark.parametrize("code", [302, 487])
def test_the_failure_callback_is_for_400_to_699_but_487(make_world: Make, code: int) -> None:
    failure = ON_FAILURE + "    see(request, 'F')\n    mark(request, reply)\n    reply.relay()\n"
    caller, one, _ = called(make_world(RELAY.format(", on_failure=g") + CALLBACKS + failure))
    one.answer(invite(one), code)
    assert caller.last.status == code and seen(caller) == ("F" if code == 302 else "")


def test_a_new_attempt_has_only_the_callbacks_that_it_is_given(make_world: Make) -> None:
    failure = ON_FAILURE + (
        "    mark(request, reply)\n    see(request, 'F')\n"
        "    if request.vars['seen'].count('F ') > 1:\n        reply.relay()\n"
        "    else:\n        request.relay('sip:127.0.0.2:5091')\n"
    )
    caller, one, two = called(make_world(RELAY.format(", on_reply=f, on_failure=g") + CALLBACKS + failure))
    one.answer(invite(one), 486)
    two.answer(invite(two), 404)
    assert (caller.statuses, seen(caller)) == ([100, 486], "f486 g486/Busy Here F")


TWO_ATTEMPTS = (
    "def first(request, reply):\n    reply.set_header('X-Seen', 'first')\n    reply.relay()\n\n"
    "def second(request, reply):\n    reply.set_header('X-Seen', 'second')\n    reply.relay()\n\n"
)


@pytest.mark.parametrize(
    ("callbacks", "seen_of_first", "seen_of_second"),
    [
        (("on_reply=first", "on_reply=second"), "first", "second"),
        (("on_reply=first", "timeout=9"), "first", ""),
        (("timeout=9", "on_reply=second"), "", "second"),
        (("on_reply=first", "on_reply=first"), "first", "first"),
    ],
)
def test_a_2xx_of_a_branch_that_was_given_up_is_shown_to_the_callback_of_its_own_attempt(
    make_world: Make, callbacks: tuple[str, str], seen_of_first: str, seen_of_second: str
) -> None:
    failure = ON_FAILURE + f"    request.relay('sip:127.0.0.2:5091', {callbacks[1]})\n"
    world = make_world(
        HEAD
        + f"    request.relay('sip:127.0.0.2:5090', **dict({{'timeout': 5}}, {callbacks[0]}))\n\n"
        + TWO_ATTEMPTS
        + failure
    )
    caller, one, two = called(world)
    one.answer(invite(one), 180)
    world.advance(9.1 if callbacks[0] == "timeout=9" else 5.1)
    two.answer(invite(two), 180)
    assert (caller.statuses, seen(caller)) == ([100, 180, 180], seen_of_second)
    one.answer(invite(one), 200)
    assert (caller.statuses, seen(caller)) == ([100, 180, 180, 200], seen_of_first)


# -- on_failure ------------------------------------------------------------------------------------------------------


def test_every_attempt_begins_from_the_original_and_keeps_record_route(make_world: Make) -> None:
    script = HEAD + (
        "    request.set_header('X-One', '1')\n    request.record_route()\n    request.relay('sip:127.0.0.2:5090')\n\n"
    )
    failure = ON_FAILURE + (
        "    request.set_header('X-Two', request.get_header('X-Two') or '2')\n"
        "    n = request.vars['n'] = request.vars.get('n', 0) + 1\n    request.relay(f'sip:127.0.0.2:{5090 + n % 2}')\n"
    )
    _, one, two = called(make_world(script + failure))
    one.answer(invite(one), 486)
    two.answer(invite(two), 404)
    first, second, third = one.inbox[0], invite(two), invite(one)
    assert [m.max_forwards for m in (first, second, third)] == [69, 69, 69]
    assert len({m.via.branch for m in (first, second, third)}) == 3
    assert [len(m.all_lines("Record-Route")) for m in (first, second, third)] == [1, 1, 1]
    assert [(m.first("X-One"), m.first("X-Two")) for m in (first, second)] == [(b"1", None), (b"1", b"2")]
    assert [m.via_count for m in (first, second, third)] == [2, 2, 2]


@pytest.mark.parametrize("try_again", ["request.relay('sip:127.0.0.2:5091')", "request.fork(['sip:127.0.0.2:5091'])"])
def test_after_a_6xx_no_target_is_tried_but_the_script_may_answer(make_world: Make, try_again: str) -> None:
    for body, status in ((try_again, 603), ("request.reply(480, 'Later')", 480)):
        caller, one, two = called(make_world(RELAY.format("") + ON_FAILURE + f"    {body}\n"))
        one.answer(invite(one), 603)
        assert caller.statuses == [100, status] and not two.inbox


def test_failures_of_earlier_attempts_stay_candidates(make_world: Make) -> None:
    failure = ON_FAILURE + (
        "    see(request, reply.status_code)\n    mark(request, reply)\n"
        "    if 'twice' in request.vars:\n        reply.relay()\n        return\n"
        "    request.vars['twice'] = True\n    request.relay('sip:127.0.0.2:5091')\n"
    )
    caller, one, two = called(make_world(RELAY.format("") + failure))
    one.answer(invite(one), 401, headers=[("WWW-Authenticate", "Digest realm=a")])
    two.answer(invite(two), 407, headers=[("Proxy-Authenticate", "Digest realm=b")])
    assert (caller.statuses, seen(caller)) == ([100, 401], "401 401")
    assert caller.last.first("Proxy-Authenticate") == b"Digest realm=b"


def test_on_failure_has_all_challenges_and_the_body_of_the_best(make_world: Make) -> None:
    failure = ON_FAILURE + "    see(request, reply.body)\n    mark(request, reply)\n    reply.relay()\n"
    caller, one, two = called(make_world(FORK.format("") + failure))
    one.answer(invite(one), 407, headers=[("Proxy-Authenticate", "Digest realm=a")])
    two.answer(invite(two), 401, headers=[("WWW-Authenticate", "Digest realm=b")], body=b"why")
    last = caller.last
    assert (last.status, seen(caller), last.body) == (401, "b'why'", b"why")
    assert last.all_lines("WWW-Authenticate") == [b"Digest realm=b"]
    assert last.all_lines("Proxy-Authenticate") == [b"Digest realm=a"]


@pytest.mark.parametrize(("status", "local"), [(503, False), (503, True)])
def test_a_503_of_a_branch_goes_up_as_500_without_retry_after(make_world: Make, status: int, local: bool) -> None:
    target = "sip:no.example" if local else "sip:127.0.0.2:5090"
    failure = ON_FAILURE + "    see(request, reply.status_code)\n    mark(request, reply)\n    reply.relay()\n"
    caller, one, _ = called(make_world(HEAD + f"    request.relay('{target}')\n\n" + failure))
    if not local:
        one.answer(invite(one), status, headers=[("Retry-After", "9")])
    assert (caller.last.status, caller.last.reason, seen(caller)) == (500, b"Server Internal Error", "503")
    assert not caller.last.has("Retry-After")


def test_a_3xx_reaches_on_failure_and_is_forwarded_never_followed(make_world: Make) -> None:
    failure = (
        ON_FAILURE + "    see(request, reply.get_header('Contact'))\n    mark(request, reply)\n    reply.relay()\n"
    )
    caller, one, two = called(make_world(RELAY.format("") + failure))
    one.answer(invite(one), 302, headers=[("Contact", "<sip:127.0.0.2:5091>")])
    assert caller.statuses == [100, 302] and not two.inbox and seen(caller) == "<sip:127.0.0.2:5090>"


# -- timeout ---------------------------------------------------------------------------------------------------------


def test_a_ring_time_counts_from_the_first_sending_and_provisionals_do_not_restart_it(make_world: Make) -> None:
    failure = ON_FAILURE + "    see(request, f'{reply.status_code}/{reply.source_ip}')\n    mark(request, reply)\n"
    world = make_world(RELAY.format(", timeout=5") + failure + "    reply.relay()\n")
    caller, one, _ = called(world)
    world.advance(4.5)
    one.answer(invite(one), 180)
    world.advance(0.6)
    assert caller.statuses == [100, 180, 408] and seen(caller) == "408/None"
    assert one.requests[-1] == "CANCEL" and one.last.first("Reason") is None
    one.answer(invite(one), 487)
    assert caller.statuses == [100, 180, 408] and one.requests[-1] == "ACK"


def test_a_silent_branch_stops_repeating_and_is_cancelled_by_a_late_provisional(make_world: Make) -> None:
    world = make_world(FORK.format(", 'sequential', timeout=2"))
    caller, one, two = called(world)
    world.advance(2.1)
    count = one.requests.count("INVITE")
    world.advance(1.8)
    assert one.requests == ["INVITE"] * count and two.requests[0] == "INVITE"
    one.answer(invite(one), 180)
    assert one.requests == ["INVITE"] * count + ["CANCEL"] and caller.statuses == [100]


def test_a_2xx_that_crosses_the_ring_time_wins_and_newer_branches_are_cancelled(make_world: Make) -> None:
    world = make_world(FORK.format(", 'sequential', timeout=2"))
    caller, one, two = called(world)
    one.answer(invite(one), 180)
    world.advance(2.1)
    two.answer(invite(two), 180)
    one.answer(invite(one), 200)
    assert caller.statuses == [100, 180, 180, 200] and two.requests == ["INVITE", "CANCEL"]
    assert two.last.first("Reason") == b"SIP;cause=200"


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS"])
def test_a_ring_time_of_a_non_invite_ends_in_504_and_timer_f_in_nothing(make_world: Make, method: str) -> None:
    world = make_world(RELAY.format(", timeout=2"))
    caller, _, _ = called(world, method)
    world.advance(2.1)
    assert (caller.statuses, caller.last.reason) == ([504], b"Server Time-out")
    world = make_world(RELAY.format(""))
    caller, _, _ = called(world, method)
    world.advance(40)
    assert [s for s in caller.statuses if s >= 200] == []


@pytest.mark.parametrize(("method", "status"), [("MESSAGE", 504), ("INVITE", 408)])
@pytest.mark.parametrize("handler", ["on_failure", "on_reply"])
def test_txn_20_no_handler_answers_a_non_invite_408(make_world: Make, handler: str, method: str, status: int) -> None:
    script = RELAY.format("") + ON_FAILURE + "    request.reply(408, 'Late')\n\n"
    if handler == "on_reply":
        script += ON_REPLY + "    reply.reject(408, 'Late')\n"
    caller, one, _ = called(make_world(script), method)
    one.answer(invite(one), 486 if handler == "on_failure" else 183)
    assert caller.last.status == status
    assert caller.last.reason == (b"Late" if status == 408 else b"Server Time-out")


# -- CANCEL ----------------------------------------------------------------------------------------------------------


def test_a_cancel_is_built_from_the_branch_and_copies_every_reason(make_world: Make) -> None:
    world = make_world(HEAD + "    request.prepend_route('sip:127.0.0.2:5090')\n    request.relay()\n")
    caller, one, _ = called(world, headers="Reason: Q.850;cause=1")
    one.answer(invite(one), 180)
    cancel(caller, "SIP;cause=480", "Q.850;cause=16, X;y=1")
    sent, asked = one.last, invite(one)
    assert sent.method == "CANCEL" and sent.uri == asked.uri and sent.cseq == asked.cseq
    for name in ("Via", "Route", "From", "To", "Call-ID"):
        expected = asked.all_lines(name)[:1] if name == "Via" else asked.all_lines(name)
        assert sent.all_lines(name) == expected
    assert sent.all_lines("Reason") == [b"SIP;cause=480", b"Q.850;cause=16, X;y=1"]


def test_on_cancel_runs_once_after_the_cancels_and_nothing_it_does_changes_the_answer(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("siphon.testing.worker.LOG_LEVEL", "info")
    handler = (
        "@proxy.on_cancel\ndef gone(request):\n    log.info(f'gone {request.method}')\n"
        "    request.reply(200, 'x')\n    request.relay('sip:127.0.0.2:5091')\n    raise ValueError('in on_cancel')\n"
    )
    caller, one, two = called(make_world(RELAY.format("") + handler))
    one.answer(invite(one), 180)
    cancel(caller, "SIP;cause=1")
    cancel(caller, "SIP;cause=2")
    assert one.requests == ["INVITE", "CANCEL"] and not two.inbox
    answers = [m for m in caller.inbox if m.cseq_method == "CANCEL"]
    assert len(answers) == 2 and answers[0].raw == answers[1].raw and answers[0].to_tag
    one.answer(invite(one), 487)
    assert caller.last.status == 487
    written = capfd.readouterr().err
    assert written.count("gone INVITE") == 1 and "in on_cancel" in written


def test_a_cancel_while_on_request_awaits_is_487_at_once_and_its_action_is_not_carried_out(make_world: Make) -> None:
    script = (
        "import asyncio\nfrom siphon import proxy\n\n@proxy.on_request\nasync def route(request):\n"
        "    await asyncio.sleep(3)\n    request.relay('sip:127.0.0.2:5090')\n\n"
        "@proxy.on_cancel\ndef gone(request):\n    request.vars['x'] = 1\n"
    )
    world = make_world(script)
    caller, one, _ = called(world)
    world.advance(1)
    cancel(caller)
    tags = {m.to_tag for m in caller.inbox if m.status >= 200}
    assert caller.statuses == [100, 200, 487] and len(tags) == 1
    world.advance(3)
    assert not one.inbox
