"""examples/residential.py: what Kamailio's stock configuration does, by its tests on the real engine."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOB = "sip:bob@example.com"


@pytest.fixture
def server(siphond, monkeypatch):
    monkeypatch.setenv("PSTN", "pstn.example.net")
    monkeypatch.setenv("VOICEMAIL", "192.0.2.90:5070")
    monkeypatch.setenv("TRUSTED", "192.0.2.200/32")
    made = siphond(config=ROOT / "examples/residential.cfg")
    made.set_name("pstn.example.net", "192.0.2.80")
    return made


@pytest.fixture
def voicemail(server):
    return server.phone("voicemail", address="192.0.2.90:5070")


def test_a_call_from_ringing_to_hanging_up(alice, bob):
    call = alice.invite(BOB)
    ringing = bob.incoming("INVITE")
    assert ringing.request.header("Proxy-Authorization") is None
    ringing.ring()
    ringing.accept()
    assert call.statuses == [407, 100, 180, 200]
    assert call.bye().status == 200


def test_strangers_reach_our_users_but_nobody_else(server, bob):
    stranger = server.phone("eve")
    headers = {"From": "<sip:eve@example.net>;tag=1"}
    assert stranger.invite("sip:victim@example.org", headers).status == 403
    stranger.invite(BOB, headers)
    bob.incoming("INVITE")


def test_our_users_reach_other_domains(server, alice):
    server.set_name("example.org", "192.0.2.70")
    other = server.phone(address="192.0.2.70")
    alice.invite("sip:carol@example.org")
    assert other.incoming("INVITE").request.header("P-Hint") == "outbound"


def test_who_is_not_registered_or_unknown(alice):
    assert alice.invite("sip:nobody@example.org").status == 500  # the name does not resolve
    assert alice.request("MESSAGE", "sip:nobody@example.com").status == 404
    assert alice.request("MESSAGE", "sip:example.com").status == 484
    assert alice.request("OPTIONS", "sip:example.com").status == 200
    assert alice.request("PUBLISH", BOB).status == 404


def test_telephone_numbers_go_to_the_gateway_for_our_users_only(server, alice):
    gateway = server.phone("gateway", address="192.0.2.80")
    alice.invite("sip:0049731123@example.com")
    assert gateway.incoming("INVITE").request.uri == "sip:+49731123@pstn.example.net"
    eve = server.phone("eve")
    assert eve.invite("sip:+49731123@example.com", {"From": "<sip:eve@example.net>;tag=1"}).status == 403


def test_a_trusted_peer_needs_no_password(server, bob):
    trunk = server.phone("alice", address="192.0.2.200")
    assert trunk.invite(BOB).statuses == [100]
    bob.incoming("INVITE")


def test_speed_dials_and_aliases(alice, bob):
    alice.invite("sip:10@example.com")
    bob.incoming("INVITE")
    alice.invite("sip:sales@example.com")
    bob.incoming("INVITE")


@pytest.mark.parametrize("status", [486, 408])
def test_busy_and_no_answer_go_to_voicemail(alice, bob, voicemail, status):
    bob.always("INVITE", status)
    call = alice.invite(BOB)
    mailbox = voicemail.incoming("INVITE")
    assert mailbox.request.uri == "sip:bob@192.0.2.90:5070"
    mailbox.accept()
    assert call.status == 200


def test_a_phone_that_is_not_there_goes_to_voicemail_too(alice, voicemail):
    call = alice.invite("sip:carol@example.com")
    voicemail.incoming("INVITE").accept()
    assert call.status == 200


@pytest.mark.parametrize("status", [302, 401, 407])
def test_a_phone_redirects_nobody_and_asks_nobody_for_a_password(server, bob, status):
    carol = server.phone("carol")
    bob.always("INVITE", status, headers={"Contact": "<sip:elsewhere@192.0.2.66>"})
    assert carol.invite(BOB, {"From": "<sip:carol@example.net>;tag=1"}).status == 404


def test_a_phone_behind_a_nat_is_called_where_it_is_seen(server, alice):
    bob = server.phone("bob", password="secret", address="192.0.2.33:40000", behind="192.168.1.9:5060")
    assert bob.register().status == 200
    call = alice.invite(BOB)
    bob.incoming("INVITE").accept()
    assert call.dialog.target == "sip:bob@192.0.2.33:40000"
    assert call.bye().status == 200


def test_max_forwards_is_seen_to_below_the_script(alice):
    assert alice.request("MESSAGE", BOB, {"Max-Forwards": "0"}).status == 483
