"""What a script's own answers look like on the wire (API 6.4), and provisionals that it arms in on_failure (8.4)."""

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

HEAD = "from siphon import proxy, registrar\n\n@proxy.on_request\ndef route(request):\n"
RELAY = HEAD + "    request.relay('sip:127.0.0.2:5090')\n\n"
PER_RELAY = HEAD + (
    "    request.relay('sip:127.0.0.2:5090', on_failure=first)\n\n"
    "def first(request, code, reason):\n    request.reply(183, 'Wait')\n\n"
)
FAILED = "@proxy.on_failure\ndef failed(request, reply):\n"


def answered(world: World, method: str = "INVITE", headers: str = "", to_tag: str = "") -> SipMessage:
    """The last answer to a request of a caller."""
    caller = world.agent("192.0.2.1")
    caller.send(caller.request(method, "sip:bob@example.com", call_id="c1", headers=headers, to_tag=to_tag))
    return caller.last


def failing(world: World) -> tuple[Agent, Agent]:
    """A caller whose call was answered 486."""
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    world.agent("127.0.0.2", 5099)
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"))
    phone.answer(phone.last, 486, "Busy", headers=[("X-Phone", "1")])
    return caller, phone


@pytest.mark.parametrize(
    ("edits", "name", "values"),
    [
        ("set('X', '1'), add('x', '2')", "X", [b"1", b"2"]),
        ("add('X', '1'), set('x', '2')", "X", [b"2"]),
        ("add('Contact', '<sip:1@h>'), set('m', '<sip:2@h>')", "Contact", [b"<sip:2@h>"]),
        ("set('s', 'one'), set('Subject', 'two')", "Subject", [b"two"]),
        ("set('m', '<sip:2@h>')", "Contact", [b"<sip:2@h>"]),
        ("body('hi', 'text/plain'), set('c', 'text/html')", "Content-Type", [b"text/html"]),
        ("set('c', 'text/html'), body('hi', 'text/plain')", "Content-Type", [b"text/plain"]),
        ("body('hi', 'text/plain'), body('ho', 'a/b')", "Content-Type", [b"a/b"]),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_reply_edits_apply_in_call_order_and_compact_names_are_the_same_header(
    make_world: Make, edits: str, name: str, values: list[bytes], first: bool
) -> None:
    names = "    add, set, body = request.add_reply_header, request.set_reply_header, request.set_reply_body\n"
    calls = [f"    {edits}\n", "    request.reply(200, 'OK')\n"]
    answer = answered(make_world(HEAD + names + "".join(calls if first else reversed(calls))))
    assert answer.all_lines(name) == values
    assert answer.content_length == len(answer.body) == (2 if "body" in edits else 0)


def test_reply_edits_reach_the_500_of_an_empty_fork_too(make_world: Make) -> None:
    answer = answered(make_world(HEAD + "    request.fork([])\n    request.set_reply_header('X', '1')\n"))
    assert (answer.status, answer.reason, answer.first("X")) == (500, b"No Targets", b"1")


@pytest.mark.parametrize(
    ("method", "status", "expires", "routes"),
    [
        ("INVITE", 183, None, 2),
        ("INVITE", 200, None, 2),
        ("INVITE", 486, None, 0),
        ("SUBSCRIBE", 202, b"60", 2),
        ("REFER", 202, None, 2),
        ("PUBLISH", 200, b"60", 0),
        ("PUBLISH", 489, None, 0),
        ("MESSAGE", 200, None, 0),
    ],
)
def test_answers_copy_record_route_and_expires_where_they_begin_something(
    make_world: Make, method: str, status: int, expires: bytes | None, routes: int
) -> None:
    headers = "Record-Route: <sip:a.example;lr>\nRecord-Route: <sip:b.example;lr>\nExpires: 60\nTimestamp: 1.5"
    headers += "\nWWW-Authenticate: Digest realm=x\nProxy-Authenticate: Digest realm=x\nSIP-ETag: e"
    answer = answered(make_world(HEAD + f"    request.reply({status}, 'R')\n"), method, headers)
    assert answer.status == status
    assert (answer.first("Expires"), len(answer.all_lines("Record-Route"))) == (expires, routes)
    assert not any(answer.has(n) for n in ("WWW-Authenticate", "Proxy-Authenticate", "SIP-ETag", "Timestamp"))


def test_a_100_has_the_timestamp_and_no_to_tag(make_world: Make) -> None:
    answer = answered(make_world(HEAD + "    request.reply(100, 'Hold On')\n"), "INVITE", "Timestamp: 1.5")
    assert (answer.status, answer.reason) == (100, b"Hold On")
    assert (answer.first("Timestamp"), answer.to_tag) == (b"1.5", None)


def test_the_to_tag_of_a_transaction_is_one_and_the_scripts_where_it_sets_one(make_world: Make) -> None:
    script = HEAD + "    request.set_reply_to_tag('mine')\n    request.reply(200, 'OK')\n"
    assert answered(make_world(script)).to_tag == b"mine"
    assert answered(make_world(script), to_tag="theirs").to_tag == b"theirs"


def test_a_provisional_leaves_the_call_pending_until_timer_c_then_500(make_world: Make) -> None:
    world = make_world(HEAD + "    request.reply(180, 'Ringing')\n")
    assert answered(world).status == 180
    world.advance(175)
    caller = world.agent("192.0.2.1")
    assert caller.statuses == [180]
    world.advance(10)
    tags = {m.to_tag for m in caller.inbox}
    assert caller.statuses[:2] == [180, 500] and len(tags) == 1 and None not in tags


@pytest.mark.parametrize("size", [60_000, 70_000])
@pytest.mark.parametrize("edit", ["set_reply_body('x' * {}, 'a/b')", "set_reply_header('X', 'x' * {})"])
def test_an_answer_longer_than_a_datagram_is_a_script_error(make_world: Make, edit: str, size: int) -> None:
    script = HEAD + f"    request.{edit.format(size)}\n    request.reply(200, 'OK')\n"
    answer = answered(make_world(script), "MESSAGE")
    assert answer.reason == (b"OK" if size < 65_000 else b"Script Error")


def test_an_answer_of_on_failure_longer_than_a_datagram_leaves_the_failure(make_world: Make) -> None:
    body = "    request.set_reply_body('x' * 70000, 'a/b')\n    request.reply(480, 'Later')\n"
    caller, _ = failing(make_world(RELAY + FAILED + body))
    assert caller.statuses == [100, 486]


# -- on_failure ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [RELAY + FAILED + "    request.reply(183, 'Wait')\n", PER_RELAY])
def test_a_provisional_armed_in_on_failure_is_sent_and_the_failure_follows_with_a_warning(
    make_world: Make, script: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("siphon.testing.worker.LOG_LEVEL", "warn")
    caller, _ = failing(make_world(script))
    assert caller.statuses == [100, 183, 486] and caller.inbox[1].reason == b"Wait"
    assert "on_failure armed only a provisional for 486" in capfd.readouterr().err


def test_after_a_provisional_of_the_callback_the_global_handlers_decide(make_world: Make) -> None:
    caller, _ = failing(make_world(PER_RELAY + FAILED + "    request.reply(480, 'Later')\n"))
    assert caller.statuses == [100, 480]


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ("request.reply(183, 'W'); request.relay('sip:127.0.0.2:5099')", [100]),
        ("request.reply(183, 'W'); request.reply(480, 'Later')", [100, 480]),
        ("request.reply(183, 'W'); reply.relay()", [100, 486]),
        ("request.reply(183, 'W'); 1 / 0", [100, 486]),
    ],
)
def test_what_follows_a_provisional_in_on_failure_replaces_it(make_world: Make, body: str, statuses: list[int]) -> None:
    caller, _ = failing(make_world(RELAY + FAILED + f"    {body}\n"))
    assert caller.statuses == statuses


def test_reply_edits_of_on_failure_go_into_its_answer(make_world: Make) -> None:
    calls = ("set_reply_header('X', '1')", "set_reply_body('b', 'a/b')", "reply(503, 'Own')")
    body = "".join(f"    request.{call}\n" for call in calls)
    caller, _ = failing(make_world(RELAY + FAILED + body))
    last = caller.last
    assert (last.status, last.reason, last.first("X"), last.body) == (503, b"Own", b"1", b"b")
    assert not last.has("X-Phone")


def test_reply_edits_of_on_request_are_not_those_of_on_failure(make_world: Make) -> None:
    request = HEAD + "    request.set_reply_header('X', '1')\n    request.relay('sip:127.0.0.2:5090')\n\n"
    caller, _ = failing(make_world(request + FAILED + "    request.reply(480, 'Later')\n"))
    assert caller.last.status == 480 and not caller.last.has("X")
