"""`auth.backend = "http"`: the request waits for the user's secret before its handlers start, and nobody else does."""

from hashlib import md5

import pytest

from siphon.services.digest import Secret

ASKING = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if auth.require_proxy_digest(request):
        request.relay("sip:127.0.0.2:5090")
"""
HTTP = {"auth": {"backend": "http", "users": {}, "http": {"url": "http://auth.test/{username}", "timeout_ms": 2000}}}
BOB = "sip:bob@example.com"


@pytest.fixture
def world(make_world):
    world = make_world(ASKING, **HTTP)
    world.auth_service.users = {b"alice": Secret(password=b"secret")}
    world.callee = world.agent("127.0.0.2", 5090)
    return world


def answered(caller, method="INVITE", user="alice", password="secret"):
    """The request with credentials; the challenge is fetched first."""
    caller.send(caller.request(method, BOB))
    nonce = caller.last.first("Proxy-Authenticate").decode().partition('nonce="')[2].partition('"')[0]
    caller.take()
    one, two = (md5(text.encode()).hexdigest() for text in (f"{user}:example.com:{password}", f"{method}:{BOB}"))
    response = md5(f"{one}:{nonce}:00000001:c:auth:{two}".encode()).hexdigest()
    line = (
        f'Proxy-Authorization: Digest username="{user}", realm="example.com", nonce="{nonce}", uri="{BOB}", '
        f'qop=auth, nc=00000001, cnonce="c", response="{response}"'
    )
    return caller.request(method, BOB, cseq=2, headers=line)


def test_the_secret_is_there_before_the_handlers_start(world):
    caller = world.agent("192.0.2.1")
    caller.send(answered(caller))
    world.advance(0)
    assert world.callee.requests == ["INVITE"]
    assert world.auth_service.asked == [b"alice"]


def test_nobody_is_asked_for_a_request_without_credentials(world):
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB))
    assert caller.statuses == [407]
    assert world.auth_service.asked == []


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", "secret")])
def test_sec_09_an_unknown_user_of_the_service_looks_like_a_wrong_password(world, user, password):
    caller = world.agent("192.0.2.1")
    caller.send(answered(caller, user=user, password=password))
    world.advance(0)
    assert caller.statuses == [407]
    assert b"stale" not in caller.last.first("Proxy-Authenticate")
    assert world.auth_service.asked == [user.encode()]


def test_while_it_waits_an_invite_gets_its_100_and_repeats_are_absorbed(world):
    world.auth_service.silent = {b"alice"}
    caller = world.agent("192.0.2.1")
    invite = answered(caller)
    caller.send(invite)
    world.advance(0.19)
    assert caller.statuses == []
    world.advance(0.02)
    assert caller.statuses == [100]
    caller.send(invite, worker=0)
    caller.send(invite, worker=1)
    assert caller.statuses == [100, 100, 100]
    assert world.auth_service.asked == [b"alice"]


def test_after_timeout_ms_without_an_answer_the_request_gets_500(world):
    world.auth_service.silent = {b"alice"}
    caller = world.agent("192.0.2.1")
    caller.send(answered(caller, "MESSAGE"))
    world.advance(1.9)
    assert caller.statuses == []
    world.advance(0.2)
    assert caller.statuses == [500]
    assert caller.last.reason == b"Authentication Unavailable"
    assert world.callee.requests == []


def test_a_cancel_of_an_invite_that_waits_is_answered_487_and_nothing_is_forwarded(world):
    world.auth_service.silent = {b"alice"}
    caller = world.agent("192.0.2.1")
    invite = answered(caller)
    caller.send(invite)
    caller.send(invite.replace("INVITE", "CANCEL"), worker=1)
    assert sorted(caller.statuses) == [200, 487]
    world.advance(3)
    assert 500 not in caller.statuses
    assert world.callee.requests == []


def test_others_are_served_while_one_user_waits(world):
    world.auth_service.users[b"carol"] = Secret(password=b"pw")
    world.auth_service.silent = {b"alice"}
    waiting, other = world.agent("192.0.2.1"), world.agent("192.0.2.2")
    waiting.send(answered(waiting))
    other.send(answered(other, user="carol", password="pw"))
    world.advance(0)
    assert other.statuses == [100]
    assert world.callee.requests == ["INVITE"]


def test_a_worker_that_dies_while_it_waits_is_replaced_and_another_asks_again(world):
    world.auth_service.silent = {b"alice"}
    caller = world.agent("192.0.2.1")
    caller.send(answered(caller), worker=0)
    world.advance(0.1)
    world.auth_service.silent.clear()
    world.kill(0)
    world.advance(0.6)
    assert world.callee.requests == ["INVITE"]
    assert world.auth_service.asked == [b"alice", b"alice"]
