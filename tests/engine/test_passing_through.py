"""What the proxy does not need it does not touch (RFC 3261 §16.3, §16.7)."""

from collections.abc import Callable

import pytest

from siphon.sip.build import response
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
ODD = """\
Date: yesterday, more or less
Contact: <sip:caller@192.0.2.1>;expires=forever, "unclosed <sip:x
Expires: -1
Warning: 1 2
X-Odd:    spaces  \tand\ttabs
Subject: caf\u00e9
accept-LANGUAGE:
Retry-After: (((
Timestamp: now
Reply-To: <<>>"""
STRAIGHT_ON = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")
"""
FOLLOW = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.2:5091"], strategy="sequential")

@proxy.on_failure
def failed(request, reply):
    if reply.status_code == 302:
        request.fork([value.strip(" <>") for value in reply.get_header("Contact").split(",")])
"""


FOLLOW_ONE = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.2:5091"], strategy="sequential")

@proxy.on_failure
def failed(request, reply):
    if reply.status_code == 302 and "followed" not in request.vars:
        request.vars["followed"] = True
        request.fork(["sip:bob@127.0.0.2:5092"])
"""


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "NEWFANGLED", "x-y.z!%*_+`'~"])
@pytest.mark.parametrize("to_tag", ["", "t9"])
def test_prx_02_unknown_methods_and_odd_headers_pass_byte_for_byte(make_world: Make, method: str, to_tag: str) -> None:
    caller, callee = parties(make_world(STRAIGHT_ON))
    text = caller.request(method, "sip:bob@example.com", headers=ODD, body="\0\x01 body", to_tag=to_tag)
    caller.send(text.replace(f"Contact: <sip:{caller.ip}:{caller.port}>\n", ""))
    assert callee.last.method == method
    head, _, body = callee.last.raw.partition(b"\r\n\r\n")
    assert ODD.replace("\n", "\r\n").encode() in head and body == b"\0\x01 body"
    callee.answer(callee.last, 200, "All r\u00efght, mostly", headers=[("X-Odd", " \t;;,,"), ("Date", "soon")])
    assert caller.last.reason == "All r\u00efght, mostly".encode()
    assert b"\r\nDate: soon\r\n" in caller.last.raw


def test_prx_56_a_3xx_goes_up_and_is_not_followed(world: World) -> None:
    caller, callee = parties(world)
    other = world.agent("127.0.0.2", 5091)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    value = "<sip:127.0.0.2:5091>;q=0.7, <sip:127.0.0.2:5092>"
    callee.send(
        _with_contact(callee, 302, value),
    )
    assert caller.statuses == [100, 302] and caller.last.first("Contact") == value.encode()
    assert callee.requests == ["INVITE", "ACK"] and not other.inbox and not world.lost


def test_prx_56_a_script_that_follows_asks_each_address_once(make_world: Make) -> None:
    world = make_world(FOLLOW)
    caller, callee = parties(world)
    second, third = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    callee.answer(callee.last, 404)
    value = "<sip:127.0.0.2:5092>, <sip:127.0.0.2:5092>"
    second.send(_with_contact(second, 302, value))
    assert third.requests == ["INVITE"] and third.last.uri == b"sip:127.0.0.2:5092"
    third.answer(third.last, 200)
    assert caller.statuses == [100, 200]


@pytest.mark.parametrize(
    ("contacts", "up", "left"),
    [
        ("<sip:%62ob@127.0.0.2:5092>;q=0.1, <sip:127.0.0.9>", 302, b"<sip:127.0.0.9>"),
        ("<sip:bob@127.0.0.2:5092;method=INVITE?Subject=s>", 404, b"<sip:127.0.0.2:5090>"),
    ],
)
def test_prx_56_what_was_followed_is_in_no_3xx_that_goes_up(
    make_world: Make, contacts: str, up: int, left: bytes
) -> None:
    world = make_world(FOLLOW_ONE)
    caller, callee = parties(world)
    second, third = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    callee.answer(callee.last, 404)
    second.send(_with_contact(second, 302, contacts))
    assert third.requests == ["INVITE"] and caller.statuses == [100]
    third.answer(third.last, 486)
    assert caller.statuses == [100, up] and caller.last.first("Contact") == left
    assert third.requests == ["INVITE", "ACK"]


def _with_contact(callee: Agent, status: int, value: str) -> bytes:
    return response(callee.last, status, "Moved", b"t1", [("Contact", value)])
