"""What an answered record still holds."""

from collections.abc import Callable

from siphon.state.codec import encode
from siphon.testing.world import World

BODY = "x" * 1000


def test_an_answered_message_shrinks_and_its_repeat_still_gets_the_answer(world: World) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("MESSAGE", "sip:bob@example.com", body=BODY)
    caller.send(text)
    before = len(encode(next(iter(world.records()))))
    callee.answer(callee.last, 200)
    assert before > 1400 > 800 > len(encode(next(iter(world.records()))))
    for worker in (0, 1):
        caller.send(text, worker)
    assert caller.statuses == [200, 200, 200] and callee.requests == ["MESSAGE"]


def test_an_invite_answered_here_shrinks_and_is_repeated_until_its_ack(make_world: Callable[..., World]) -> None:
    world = make_world(
        "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.reply(404, 'No')\n"
    )
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com", body=BODY))
    assert len(encode(next(iter(world.records())))) < 1000
    world.advance(40)
    assert caller.statuses == [404] * 11
