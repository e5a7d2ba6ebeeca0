"""proxy.send_request: requests of our own as records with client transactions and nobody upstream (API 5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siphon.cli.idle import final_status
from siphon.config.version import PRODUCT
from siphon.script.loader import ScriptLoadError
from siphon.services.dns.order import Naptr
from siphon.sip.message import SipMessage
from siphon.state.codec import encode
from siphon.state.record import Record
from siphon.testing.agent import Agent
from siphon.testing.kit import Server
from siphon.testing.world import World

Make = Callable[..., World]
QUICK = {"t1": 0.25}
"""Timer F is over before a handler has awaited too long."""
PHONE = ("127.0.0.2", 5090)
ASK = """
from siphon import log, proxy

@proxy.on_request
async def route(request):
    reply = await proxy.send_request(%s)
    request.set_reply_header("X-Got", "None" if reply is None else f"{reply.status_code} {reply.get_header('X-From')}")
    request.reply(200, "OK")

@proxy.on_reply
def never(request, reply):
    request.vars["seen"] = 1
    reply.relay()

@proxy.on_failure
def neither(request, reply):
    request.vars["seen"] = 1
"""
WAIT = ASK % "'MESSAGE', 'sip:bob@127.0.0.2:5090', body='hi', wait_for_response=True, timeout_ms=60000"


def asked(make_world: Make, script: str = WAIT, **options: object) -> tuple[World, Agent, Agent]:
    """A caller's OPTIONS reaches worker 0, whose handler sends a request to the phone."""
    world = make_world(script, **options)
    caller, phone = world.agent("192.0.2.1"), world.agent(*PHONE)
    caller.send(caller.request("OPTIONS", "sip:example.com"), worker=0)
    return world, caller, phone


def got(world: World, caller: Agent) -> list[str]:
    """What the handler got, once for each answer of the caller's."""
    world.advance(0)
    return [(m.first("X-Got") or b"").decode() for m in caller.inbox if m.status == 200]


@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize("status", [200, 404, 486, 603])
def test_the_waiter_gets_the_final_whichever_worker_receives_it(make_world: Make, worker: int, status: int) -> None:
    world, caller, phone = asked(make_world)
    assert phone.requests == ["MESSAGE"] and caller.statuses == []
    phone.answer(phone.last, status, headers=[("X-From", "phone")], worker=worker)
    assert got(world, caller) == [f"{status} phone"]
    phone.answer(phone.last, 200, worker=1 - worker)
    world.advance(60)
    assert got(world, caller) == [f"{status} phone"] and phone.requests == ["MESSAGE"]


def test_what_is_not_given_is_added(make_world: Make) -> None:
    _, _, phone = asked(make_world)
    m = phone.last
    assert m.raw.startswith(b"MESSAGE sip:bob@127.0.0.2:5090 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK")
    assert (m.via_count, m.max_forwards, m.cseq, m.cseq_method, m.body) == (1, 70, 1, "MESSAGE", b"hi")
    assert m.first("From").startswith(b"<sip:127.0.0.1:5060>;tag=") and len(m.from_tag or b"") >= 8
    assert m.first("To") == b"<sip:bob@127.0.0.2:5090>" and len(m.call_id) >= 16
    assert m.first("User-Agent") == PRODUCT.encode() and m.first("Content-Length") == b"2"
    assert m.first("Content-Type") == b"text/plain;charset=UTF-8"


def test_what_is_given_stays(make_world: Make) -> None:
    headers = {
        "From": "Ann <sip:ann@example.com>",
        "t": "<sip:bob@example.com>;tag=b1",
        "i": "call-7",
        "CSeq": "41 NOTIFY",
        "Max-Forwards": 5,
        "User-Agent": "clock/1",
        "Via": "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx",
        "X-One": ["1", "2"],
        "Content-Type": "application/simple-message-summary",
        "Content-Length": "3",
    }
    send = f"'NOTIFY', 'sip:bob@127.0.0.2:5090;method=X?a=b', {headers!r}, b'abc'"
    _, _, phone = asked(make_world, ASK % send)
    m = phone.last
    assert m.uri == b"sip:bob@127.0.0.2:5090"
    assert m.first("From").startswith(b"Ann <sip:ann@example.com>;tag=") and m.to_tag == b"b1"
    assert (m.call_id, m.cseq, m.max_forwards, m.via_count) == (b"call-7", 41, 5, 1)
    assert m.first("User-Agent") == b"clock/1" and m.all_lines("X-One") == [b"1", b"2"]
    assert m.first("Content-Type") == b"application/simple-message-summary"


def test_user_agent_header_is_a_setting(make_world: Make) -> None:
    _, _, phone = asked(make_world, server={"user_agent_header": "exchange 3"})
    assert phone.last.first("User-Agent") == b"exchange 3"
    _, _, phone = asked(make_world, server={"user_agent_header": ""})
    assert not phone.last.has("User-Agent")


def test_txn_11_it_is_repeated_by_timer_e_and_given_up_by_timer_f(make_world: Make) -> None:
    world, caller, phone = asked(make_world, transaction=QUICK)
    began = world.clock()
    world.advance(15.9)
    assert [round(at - began, 3) for at in phone.times] == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75, 15.75]
    assert len({m.raw for m in phone.inbox}) == 1 and got(world, caller) == []
    world.advance(0.2)
    assert got(world, caller) == ["None"] and len(phone.inbox) == 8


def test_txn_12_after_a_provisional_it_is_repeated_every_t2(make_world: Make) -> None:
    world, caller, phone = asked(make_world)
    began = world.clock()
    phone.answer(phone.last, 100, worker=1)
    world.advance(13)
    assert [round(at - began, 3) for at in phone.times] == [0, 0.5, 4.5, 8.5, 12.5]
    assert got(world, caller) == []


def test_the_waiter_goes_on_after_its_time_and_the_request_too(make_world: Make) -> None:
    script = WAIT.replace("60000", "2000")
    world, caller, phone = asked(make_world, script)
    world.advance(1.99)
    assert got(world, caller) == []
    world.advance(0.02)
    assert got(world, caller) == ["None"]
    world.advance(2)
    assert len(phone.inbox) == 4
    phone.answer(phone.last, 200)
    world.advance(40)
    assert got(world, caller) == ["None"] and len(phone.inbox) == 4


def test_without_waiting_the_handler_goes_on_at_once(make_world: Make) -> None:
    script = """
from siphon import proxy

@proxy.on_request
def route(request):
    proxy.send_request("OPTIONS", "sip:127.0.0.2:5090")
    request.reply(200, "OK")
"""
    world, caller, phone = asked(make_world, script)
    assert phone.requests == ["OPTIONS"] and caller.statuses == [200]
    assert [send.data[:7] for send in world.sent] == [b"OPTIONS", b"SIP/2.0"]
    phone.answer(phone.last, 200)
    (own,) = (record for record in world.records() if record.own)
    assert own.final_status == 200 and not own.branches[0].response and not own.request
    world.advance(100)
    assert not list(world.records()) and phone.requests == ["OPTIONS"]


def test_its_responses_reach_no_handler_and_its_vars_are_empty(make_world: Make) -> None:
    script = WAIT.replace(
        "request.reply(200", "request.set_reply_header('X-Vars', repr(reply.vars))\n    request.reply(200"
    )
    world, caller, phone = asked(make_world, script)
    phone.answer(phone.last, 486)
    assert got(world, caller) and caller.last.first("X-Vars") == b"{}"
    assert not any(b"seen" in record.vars for record in world.records())


def test_a_response_with_a_further_via_is_a_stray(make_world: Make) -> None:
    world, caller, phone = asked(make_world)
    text = b"SIP/2.0 200 OK\r\nVia: " + phone.last.first("Via") + b"\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKy\r\n"
    for name in ("From", "To", "Call-ID", "CSeq"):
        text += name.encode() + b": " + phone.last.first(name) + b"\r\n"
    phone.send(text + b"\r\n")
    assert got(world, caller) == []
    phone.answer(phone.last, 202)
    assert got(world, caller) == ["202 None"]


def test_dns_04_the_next_address_is_tried_after_503_icmp_and_silence(make_world: Make) -> None:
    world = make_world(
        ASK % "'OPTIONS', 'sip:pbx.example', wait_for_response=True, timeout_ms=90000", transaction=QUICK
    )
    world.resolver.names["pbx.example"] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]
    world.unreachable.add(("127.0.0.3", 5060))
    caller, (one, three, four) = world.agent("192.0.2.1"), (world.agent(f"127.0.0.{n}") for n in (2, 4, 5))
    caller.send(caller.request("OPTIONS", "sip:example.com"), worker=0)
    one.answer(one.last, 503, worker=1)
    assert three.requests == ["OPTIONS"] and three.last.via.branch != one.last.via.branch
    assert three.last.raw.replace(three.last.via.branch, one.last.via.branch) == one.last.raw
    world.advance(16.1)
    assert four.requests == ["OPTIONS"]
    four.answer(four.last, 503, headers=[("X-From", "last")], worker=1)
    assert got(world, caller) == ["503 last"]


def test_an_unreachable_target_is_none_at_once(make_world: Make) -> None:
    world = make_world(WAIT)
    world.unreachable.add(PHONE)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("OPTIONS", "sip:example.com"), worker=0)
    assert got(world, caller) == ["None"]


@pytest.mark.parametrize("arguments", ["5, 'sip:127.0.0.2'", "'OPTIONS', 5", "'OPTIONS', 'sip:127.0.0.2', [1]"])
def test_a_wrong_type_is_a_type_error(make_world: Make, arguments: str) -> None:
    assert raised(make_world, arguments) == "TypeError"


def test_a_destination_is_reached_at_its_address(make_world: Make) -> None:
    script = (ASK % "'OPTIONS', 'sip:bob@elsewhere.example', next_hop=GATEWAY").replace(
        "@proxy.on_request",
        "from siphon import Destination\nGATEWAY = Destination('sip:gw', '127.0.0.2:5090')\n@proxy.on_request",
        1,
    )
    _, _, phone = asked(make_world, script)
    assert phone.requests == ["OPTIONS"] and phone.last.uri == b"sip:bob@elsewhere.example"


@pytest.mark.parametrize(
    "target",
    ["next_hop='127.0.0.2:5090'", "next_hop='sip:127.0.0.2:5090'", "headers={'Route': '<sip:127.0.0.2:5090;lr>'}"],
)
def test_next_hop_and_route_go_before_the_uri(make_world: Make, target: str) -> None:
    _, _, phone = asked(make_world, ASK % f"'MESSAGE', 'sip:bob@elsewhere.example', {target}")
    assert phone.requests == ["MESSAGE"] and phone.last.uri == b"sip:bob@elsewhere.example"
    assert phone.last.has("Route") == ("Route" in target)


def test_a_strict_router_gets_its_uri(make_world: Make) -> None:
    route = {"Route": ["<sip:127.0.0.2:5090>", "<sip:192.0.2.8;lr>"]}
    _, _, phone = asked(make_world, ASK % f"'MESSAGE', 'sip:bob@elsewhere.example', {route!r}")
    assert phone.last.uri == b"sip:127.0.0.2:5090"
    assert phone.last.all_lines("Route") == [b"<sip:192.0.2.8;lr>", b"<sip:bob@elsewhere.example>"]


@pytest.mark.parametrize(
    "arguments",
    [
        "'INVITE', 'sip:bob@127.0.0.2'",
        "'ack', 'sip:bob@127.0.0.2'",
        "'CANCEL', 'sip:bob@127.0.0.2'",
        "'BAD METHOD', 'sip:bob@127.0.0.2'",
        "'OPTIONS', 'bob'",
        "'OPTIONS', 'sip:bob@127.0.0.2\\r\\nX: 1'",
        "'OPTIONS', 'sip:127.0.0.2', {'X': 'a\\r\\nY: b'}",
        "'OPTIONS', 'sip:127.0.0.2', {'X': ['a', 'b\\0']}",
        "'OPTIONS', 'sip:127.0.0.2', {'X Y': 'a'}",
        "'OPTIONS', 'sip:127.0.0.2', {'From': '<sip:a@b'}",
        "'OPTIONS', 'sip:127.0.0.2', {'CSeq': '1 MESSAGE'}",
        "'OPTIONS', 'sip:127.0.0.2', {'Content-Length': '9'}",
        "'OPTIONS', 'sip:127.0.0.2', {'Route': 'nowhere'}",
        "'OPTIONS', 'sip:127.0.0.2', {'Call-ID': ['1', '2']}",
        "'MESSAGE', 'sip:127.0.0.2', body=b'x' * 70000",
        "'OPTIONS', 'sip:127.0.0.2', timeout_ms='soon'",
    ],
)
def test_what_cannot_be_sent_is_a_value_error(make_world: Make, arguments: str) -> None:
    assert raised(make_world, arguments) == "ValueError"


@pytest.mark.parametrize(
    "arguments",
    [
        "'OPTIONS', 'sip:nowhere.example'",
        "'OPTIONS', 'sips:bob@127.0.0.2'",
        "'OPTIONS', 'sips:bob@127.0.0.2', next_hop='127.0.0.2:5090'",
        "'OPTIONS', 'sips:bob@127.0.0.2', next_hop=Destination('sip:gw', '127.0.0.2:5090')",
        "'OPTIONS', 'sip:pbx.example', next_hop='nowhere.example:5060'",
        "'OPTIONS', 'sip:bob@127.0.0.2;transport=tcp'",
        "'OPTIONS', 'tel:+4973112345'",
        "'OPTIONS', 'sip:224.0.0.1'",
        "'OPTIONS', 'sip:127.0.0.1:5060'",
        "'OPTIONS', 'sip:[2001:db8::1]'",
        "'MESSAGE', 'sip:127.0.0.2', body='x' * 40000",
    ],
)
def test_a_target_that_cannot_be_reached_is_a_runtime_error(make_world: Make, arguments: str) -> None:
    assert raised(make_world, arguments) == "RuntimeError"


def raised(make_world: Make, arguments: str) -> str:
    """The name of the exception that a call raises; nothing has been sent then."""
    script = f"""
from siphon import Destination, proxy

@proxy.on_request
async def route(request):
    try:
        await proxy.send_request({arguments})
    except Exception as error:
        request.set_reply_header("X-Got", type(error).__name__)
    request.reply(200, "OK")
"""
    world, caller, _ = asked(make_world, script)
    (name,) = got(world, caller)
    assert [send for send in world.sent if not send.data.startswith(b"SIP/2.0")] == []
    return name


def test_a_name_is_looked_up_and_then_it_leaves_without_being_awaited(make_world: Make) -> None:
    script = """
from siphon import proxy

@proxy.on_request
def route(request):
    proxy.send_request("OPTIONS", "sip:pbx.example")
    request.reply(200, "OK")
"""
    world = make_world(script)
    world.resolver.unknown.add("pbx.example")
    world.resolver.names["pbx.example"] = ["127.0.0.2"]
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2")
    caller.send(caller.request("OPTIONS", "sip:example.com"))
    assert caller.statuses == [200] and not phone.requests
    world.resolver.answer()
    world.settle()
    assert phone.requests == ["OPTIONS"]


@pytest.mark.parametrize("wait", [False, True])
def test_dns_08_a_name_that_turns_out_not_to_resolve_is_raised_by_the_await(make_world: Make, wait: bool) -> None:
    script = """
from siphon import proxy

@proxy.on_request
async def route(request):
    try:
        await proxy.send_request("OPTIONS", "sip:pbx.example", wait_for_response=%s)
    except RuntimeError as error:
        request.set_reply_header("X-Got", str(error))
    request.reply(200, "OK")
"""
    world = make_world(script % wait)
    world.resolver.unknown.add("pbx.example")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("OPTIONS", "sip:example.com"), worker=0)
    assert caller.statuses == []
    world.resolver.answer()
    world.settle()
    assert got(world, caller) == ["the target does not resolve"]


def test_it_does_not_leave_after_its_time(make_world: Make) -> None:
    world = make_world(ASK % "'OPTIONS', 'sip:pbx.example', wait_for_response=True")
    world.resolver.unknown.add("pbx.example")
    world.resolver.names["pbx.example"] = ["127.0.0.2"]
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2")
    caller.send(caller.request("OPTIONS", "sip:example.com"), worker=0)
    world.advance(2.1)
    assert got(world, caller) == ["None"]
    world.resolver.answer()
    world.settle()
    assert not phone.requests


@pytest.mark.parametrize("slot", [0, 1])
def test_shared_a_worker_that_dies_leaves_the_request_to_another(make_world: Make, slot: int) -> None:
    world, caller, phone = asked(make_world)
    first: SipMessage = phone.last
    world.kill(slot)
    world.advance(5)
    assert len(phone.inbox) >= 4 and {m.raw for m in phone.inbox if m.call_id == first.call_id} == {first.raw}
    phone.answer(first, 200, worker=1 - slot)
    before = len([m for m in phone.inbox if m.call_id == first.call_id])
    world.advance(10)
    assert len([m for m in phone.inbox if m.call_id == first.call_id]) == before


def test_shared_the_helper_goes_on_when_no_worker_is_left(make_world: Make) -> None:
    world, _, phone = asked(make_world, helper=True)
    first = phone.last
    for slot in (1, 0):
        world.kill(slot)
    world.advance(33)
    assert [m.raw for m in phone.inbox] == [first.raw] * 11
    (own,) = (record for record in world.records() if record.own)
    assert own.final_status == 408 and own.waiter == 0
    world.replace(0)
    world.advance(300)
    assert not list(world.records())


def test_a_waiter_that_nobody_wakes_looks_by_itself(make_world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "hint", lambda self, slot, key: None)
    world, caller, phone = asked(make_world)
    phone.answer(phone.last, 200, worker=1)
    assert got(world, caller) == []
    world.advance(0.5)
    assert got(world, caller) == ["200 None"]


def test_background_tasks_may_send_and_gather(make_world: Make) -> None:
    script = """
import asyncio
from siphon import log, proxy

found = []

async def later():
    await asyncio.sleep(1)
    asks = [proxy.send_request("OPTIONS", f"sip:127.0.0.{n}:5090", wait_for_response=True) for n in (2, 3)]
    tasks = [asyncio.create_task(ask) for ask in asks]
    found.extend(reply.status_code for reply in await asyncio.gather(*tasks))
    found.append(await asyncio.wait_for(asks[0], 1) is not None)

@proxy.on_request("OPTIONS")
async def route(request):
    asyncio.create_task(later())
    request.reply(200, "OK")

@proxy.on_request("MESSAGE")
async def tell(request):
    request.set_reply_header("X-Got", repr(found))
    request.reply(200, "OK")
"""
    world, caller, phone = asked(make_world, script)
    other = world.agent("127.0.0.3", 5090)
    assert caller.statuses == [200] and not phone.requests
    world.advance(1)
    other.answer(other.last, 404, worker=1)
    phone.answer(phone.last, 200, worker=0)
    world.advance(0.1)
    caller.send(caller.request("MESSAGE", "sip:example.com"), worker=0)
    assert caller.last.first("X-Got") == b"[200, 404, True]"


@pytest.mark.parametrize("wait", [True, False])
def test_shared_26_while_draining_it_is_not_sent_and_gives_none(make_world: Make, wait: bool) -> None:
    script = f"""
from siphon import proxy

@proxy.on_request
async def route(request):
    reply = await proxy.send_request("OPTIONS", "sip:127.0.0.2:5090", wait_for_response={wait})
    request.reply(200, repr(reply))
"""
    world = make_world(script)
    caller, phone = world.agent("192.0.2.1"), world.agent(*PHONE)
    for worker in world.workers:
        worker.draining = True
    caller.send(caller.request("MESSAGE", "sip:example.com", to_tag="known"), worker=0)  # what runs goes on
    assert caller.statuses == [200] and caller.last.reason == b"None"
    assert not phone.requests and len(list(world.records())) == 1


def test_a_drain_does_not_wait_for_it() -> None:
    record = Record(bytes(16), 1)
    record.method, record.own = "OPTIONS", True
    assert final_status(encode(record)) == -1
    record.own = False
    assert final_status(encode(record)) == 0


@pytest.mark.parametrize("number", ["+49 731-1", "sip:nobody"])
def test_enum_a_number_becomes_a_target(make_world: Make, number: str) -> None:
    script = f"""
from siphon import proxy

@proxy.on_request
async def route(request):
    request.relay(await proxy.enum_lookup({number!r}) or "sip:127.0.0.3:5090")
"""
    world = make_world(script)
    world.resolver.naptrs["1.1.3.7.9.4.e164.arpa"] = [Naptr(1, 1, "u", "E2U+sip", "!^.*$!sip:127.0.0.2:5090!", "")]
    caller = world.agent("192.0.2.1")
    phones = {True: world.agent(*PHONE), False: world.agent("127.0.0.3", 5090)}
    caller.send(caller.request("MESSAGE", "sip:example.com"), worker=0)
    world.advance(0)
    known = number.startswith("+")
    assert phones[known].requests == ["MESSAGE"] and phones[not known].requests == []


@pytest.mark.parametrize("arguments", ["49", "'49', None", "'49', service=b'E2U+sip'"])
def test_enum_wants_text(make_world: Make, arguments: str) -> None:
    script = f"""
from siphon import proxy

@proxy.on_request
async def route(request):
    try:
        await proxy.enum_lookup({arguments})
    except TypeError:
        request.reply(200, "OK")
"""
    _, caller, _ = asked(make_world, script)
    assert caller.statuses == [200]


def test_a_response_that_does_not_fit_loses_its_body(make_world: Make) -> None:
    world, caller, phone = asked(make_world)
    phone.answer(phone.last, 200, body=b"x" * 40000, headers=[("X-From", "phone"), ("Content-Type", "text/plain")])
    assert got(world, caller) == ["200 phone"]


@pytest.mark.parametrize(
    "call", ["proxy.send_request('OPTIONS', 'sip:192.0.2.9')", "asyncio.run(proxy.enum_lookup('+49301'))"]
)
def test_while_a_script_is_loaded_nothing_leaves_and_it_says_so(siphond: Callable[..., Server], call: str) -> None:
    with pytest.raises(ScriptLoadError, match="works in handlers of a worker, not while a script is loaded"):
        siphond(f"import asyncio\nfrom siphon import proxy\n{call}\n")
