"""scripts/proxy_default.py, tested as its users would test theirs (docs/testing-scripts.md)."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOB = "sip:bob@example.com"
CLAIMS = {"P-Asserted-Identity": "<sip:boss@example.com>", "Remote-Party-ID": "<sip:boss@example.com>", "X-Else": "1"}


@pytest.fixture
def server(siphond):
    return siphond(ROOT / "scripts/proxy_default.py")


@pytest.fixture
def alice(server):
    return server.phone("alice")


def phones_of_bob(server, number):
    found = [server.phone("bob", password="secret") for _ in range(number)]
    for phone in found:
        assert phone.register().status == 200
    return found


def test_a_phone_needs_its_password(server):
    assert server.phone("bob").register().status == 401
    assert server.phone("bob", password="guess").register().status == 401
    assert server.phone("bob", password="secret").register().status == 200


def test_all_phones_ring_and_the_first_answer_wins(server, alice):
    phones = phones_of_bob(server, 3)
    call = alice.invite(BOB)
    ringing = [phone.incoming("INVITE") for phone in phones]
    for one in ringing:
        one.ring()
    ringing[1].accept()
    assert call.status == 200
    assert [one.cancelled for one in ringing] == [True, False, True]
    assert call.bye().status == 200


def test_the_proxy_stays_on_the_path_of_a_call_and_a_forged_route_opens_nothing(server, alice):
    [bob] = phones_of_bob(server, 1)
    call = alice.invite(BOB)
    bob.incoming().accept()
    route = call.dialog.routes[0]
    assert "rrs=" in route
    mallory = server.phone("mallory")
    forged = {"To": f"<{BOB}>;tag=x", "Route": route.replace("rrs=", "rrs=0")}
    assert mallory.request("BYE", bob.contact, forged).status == 404
    assert not bob.waiting
    assert call.bye().status == 200


def test_who_is_not_registered_is_not_found_and_a_domain_alone_is_incomplete(alice):
    assert alice.invite("sip:nobody@example.com").status == 404
    assert alice.request("MESSAGE", "sip:example.com").status == 484


def test_are_you_there(alice):
    assert alice.request("OPTIONS", "sip:example.com").status == 200


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_what_a_stranger_says_of_itself_is_taken_away(server, alice, method):
    [bob] = phones_of_bob(server, 1)
    alice.request(method, BOB, CLAIMS)
    got = bob.incoming(method).request
    assert (got.header("P-Asserted-Identity"), got.header("Remote-Party-ID"), got.header("X-Else")) == (None, None, "1")


def test_a_malformed_request_gets_400(alice):
    assert alice.request("MESSAGE", BOB, {"CSeq": "1 INFO"}).statuses == [400]
    alice.request("MESSAGE", BOB, {"From": None})
    assert alice.unreadable[0].startswith(b"SIP/2.0 400 ")  # it lacks what the request lacked


def test_the_callee_is_busy(server, alice):
    [bob] = phones_of_bob(server, 1)
    bob.always("INVITE", 486)
    assert alice.invite(BOB).status == 486
