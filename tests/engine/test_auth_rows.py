"""Digest authentication through the whole engine: what is challenged, what passes, what is forwarded."""

from hashlib import md5
from pathlib import Path

from digest_kit import challenge as registration_challenge
from digest_kit import credentials as registration_credentials
from digest_kit import register

STOCK = Path(__file__).parents[2] / "scripts" / "proxy_default.py"
BOB = "sip:bob@example.com"
CHECKING = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.loose_route()
        request.relay()
    elif auth.require_proxy_digest(request):
        request.record_route()
        request.relay("sip:127.0.0.2:5090")
"""


def line_for(challenge, method, uri=BOB, user="alice", nc=1):
    nonce = challenge.partition('nonce="')[2].partition('"')[0]
    one, two = (md5(text.encode()).hexdigest() for text in (f"{user}:example.com:secret", f"{method}:{uri}"))
    response = md5(f"{one}:{nonce}:{nc:08x}:c:auth:{two}".encode()).hexdigest()
    return (
        f'Proxy-Authorization: Digest username="{user}", realm="example.com", nonce="{nonce}", uri="{uri}", '
        f'qop=auth, nc={nc:08x}, cnonce="c", response="{response}"'
    )


def challenged(caller, method="INVITE"):
    caller.send(caller.request(method, BOB, call_id="c1"))
    assert caller.statuses[-1] == 407
    return caller.last.first("Proxy-Authenticate").decode()


def test_auth_02_the_ack_of_a_call_passes_with_the_invites_credentials_after_the_nonce_has_expired(make_world):
    world = make_world(CHECKING, auth={"nonce_ttl_secs": 5})
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    credentials = line_for(challenged(caller), "INVITE")
    caller.send(caller.request("INVITE", BOB, call_id="c1", cseq=2, headers=credentials))
    world.advance(10)
    callee.answer(callee.last, 200)
    route = caller.last.first("Record-Route").decode()
    callee.take()
    ack = caller.request(
        "ACK", "sip:127.0.0.2:5090", call_id="c1", cseq=2, to_tag="t1", headers=f"Route: {route}\n{credentials}"
    )
    caller.send(ack)
    assert callee.requests == ["ACK"]


def test_auth_02_a_cancel_without_credentials_is_not_challenged(make_world):
    world = make_world(CHECKING)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    invite = caller.request("INVITE", BOB, call_id="c1", cseq=2, headers=line_for(challenged(caller), "INVITE"))
    caller.send(invite)
    callee.answer(callee.last, 180)
    caller.take()
    caller.send("\n".join(x for x in invite.replace("INVITE", "CANCEL").split("\n") if "Authorization" not in x))
    assert caller.statuses == [200]
    assert callee.requests == ["INVITE", "CANCEL"]


def test_auth_03_and_04_each_challenge_stands_on_a_line_of_its_own_strongest_first(make_world):
    world = make_world(CHECKING, auth={"algorithms": ["SHA-512-256", "SHA-256", "MD5"]})
    caller = world.agent("192.0.2.1")
    challenged(caller)
    lines = [line for line in caller.last.raw.split(b"\r\n") if line.startswith(b"Proxy-Authenticate:")]
    assert [line.partition(b"algorithm=")[2].partition(b",")[0] for line in lines] == [
        b"SHA-512-256",
        b"SHA-256",
        b"MD5",
    ]
    assert all(b'qop="auth"' in line and b'opaque="' in line and b'realm="example.com"' in line for line in lines)
    assert len({line.partition(b'nonce="')[2][:100] for line in lines}) == 1


def test_auth_09_who_is_right_on_an_expired_nonce_is_told_so_in_the_next_challenge(make_world):
    world = make_world(CHECKING, auth={"nonce_ttl_secs": 5})
    caller = world.agent("192.0.2.1")
    right = line_for(challenged(caller), "INVITE")
    world.advance(10)
    for cseq, (line, is_stale) in enumerate([(right, True), (right.replace('response="', 'response="x'), False)], 2):
        caller.send(caller.request("INVITE", BOB, call_id="c1", cseq=cseq, headers=line))
        again = caller.last.first("Proxy-Authenticate")
        assert caller.statuses[-1] == 407
        assert again.endswith(b", stale=true") is is_stale and (b"stale" in again) is is_stale


def test_auth_12_credentials_of_a_register_do_not_serve_an_invite(make_world):
    world = make_world(CHECKING)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    credentials = line_for(challenged(caller), "REGISTER")
    caller.send(caller.request("INVITE", BOB, call_id="c1", cseq=2, headers=credentials))
    assert caller.statuses[-1] == 407 and not callee.inbox


def test_auth_12_a_bye_is_checked_only_where_the_script_asks(make_world):
    world = make_world(CHECKING)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", BOB, call_id="c1", cseq=2, headers=line_for(challenged(caller), "INVITE")))
    callee.answer(callee.last, 200)
    route = caller.last.first("Record-Route").decode()
    caller.send(
        caller.request("BYE", "sip:127.0.0.2:5090", call_id="c1", cseq=3, to_tag="t1", headers=f"Route: {route}")
    )
    assert callee.requests == ["INVITE", "BYE"]


def test_auth_13_of_several_lines_ours_is_used_and_removed_and_the_others_travel_on(make_world):
    world = make_world(CHECKING)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    ours = line_for(challenged(caller), "INVITE")
    others = [
        f'Proxy-Authorization: Digest username="x", realm="r{n}", nonce="n", uri="sip:x", response="r"' for n in (1, 2)
    ]
    caller.send(caller.request("INVITE", BOB, call_id="c1", cseq=2, headers="\n".join([others[0], ours, others[1]])))
    lines = [line.decode() for line in callee.last.raw.split(b"\r\n") if line.startswith(b"Proxy-Authorization:")]
    assert lines == others


def test_auth_01_the_registrar_of_the_stock_script_challenges_401_alone(make_world):
    phone = make_world(STOCK).agent("192.0.2.1")
    phone.send(phone.request("REGISTER", "sip:example.com"))
    assert phone.statuses == [401]
    assert phone.last.has("WWW-Authenticate") and not phone.last.has("Proxy-Authenticate")


def test_sec_15_a_user_who_is_authenticated_cannot_touch_the_bindings_of_another(make_world):
    world = make_world(STOCK)
    bob, mallory = world.agent("192.0.2.1"), world.agent("192.0.2.2")
    register(bob, registration_credentials(registration_challenge(bob)))
    assert bob.statuses == [401, 200]
    for cseq, contact in enumerate(("Contact: <sip:mallory@192.0.2.2>", "Contact: *\nExpires: 0", ""), 2):
        line = registration_credentials(registration_challenge(mallory, "bob"), "alice")
        text = mallory.request("REGISTER", "sip:example.com", call_id="m", cseq=cseq, to=BOB, headers=line)
        kept = "\n".join(part for part in text.split("\n") if not part.startswith("Contact: <sip:192"))
        mallory.send(kept.replace("Content-Length", f"{contact}\nContent-Length".lstrip("\n")))
        assert mallory.last.status == 403 and not mallory.last.has("Contact")
    line = registration_credentials(registration_challenge(bob))
    text = bob.request("REGISTER", "sip:example.com", call_id="q", cseq=9, to=BOB, headers=line)
    bob.send("\n".join(part for part in text.split("\n") if not part.startswith("Contact")))
    assert bob.last.status == 200
    assert [value.partition(b">")[0] for value in bob.last.all_lines("Contact")] == [b"<sip:192.0.2.1:5060"]
