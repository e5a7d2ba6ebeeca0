"""Wrong passwords: who is banned by them, and who cannot be (SEC-08, API 12.1)."""

import itertools

import pytest
from digest_kit import REGISTRAR, credentials

from siphon.engine.counters import Counter

CHECK = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if auth.require_www_digest(request):
        request.reply(200)
"""
TWICE = CHECK.replace("if auth.require", "auth.verify_digest(request)\n    if auth.require")
LOOK = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    request.reply(200 if auth.verify_digest(request) else 486)
"""
SLOW = """
import asyncio
from siphon import auth, proxy

@proxy.on_request
async def route(request):
    right = auth.require_www_digest(request)
    await asyncio.sleep(0.3)
    if right:
        request.reply(200)
"""
_numbers = itertools.count(1)


def limited(make_world, script=CHECK, threshold=4, weight=2, seconds=100, trusted=(), **options):
    ban = {"threshold": threshold, "window_secs": 60, "ban_duration_secs": seconds, "strong_signal_weight": weight}
    security = {"failed_auth_ban": ban, "trusted_cidrs": list(trusted)}
    return make_world(script, security=security, **options)


def ask(world, ip, headers="", user="bob", worker=None):
    """(status or None, the challenge) that a REGISTER gets."""
    phone = world.agent(ip)
    phone.take()
    number = next(_numbers)
    to = f"sip:{user}@example.com"
    phone.send(phone.request("REGISTER", REGISTRAR, call_id=f"f{number}", to=to, headers=headers), worker)
    if not phone.statuses:
        return None, ""
    return phone.statuses[-1], (phone.last.first("WWW-Authenticate") or b"").decode()


def log_in(world, ip, user="bob", password="secret", worker=None):
    """The status that answers the credentials for a fresh challenge; None: there was not even a challenge."""
    status, challenge = ask(world, ip, user=user, worker=worker)
    if status != 401:
        return status
    return ask(world, ip, credentials(challenge, user, password), user, worker)[0]


def bans(world):
    return {(ban.source, ban.user) for ban in world.workers[0].guard.bans.list()}


def test_sec_08_a_user_is_banned_at_a_source_by_all_workers_and_others_there_go_on(make_world):
    world = limited(make_world, workers=3)
    assert [log_in(world, "192.0.2.1", password="wrong", worker=n) for n in (0, 1, 2, 0)] == [401] * 4
    assert bans(world) == {("192.0.2.1", "bob")}
    assert [log_in(world, "192.0.2.1", worker=n) for n in (0, 1, 2)] == [403] * 3  # the right password too
    assert log_in(world, "192.0.2.1", user="alice") == 200
    assert log_in(world, "192.0.2.2", user="bob") == 200
    assert ask(world, "192.0.2.1")[0] == 401  # who shows no credentials is challenged as ever
    world.advance(101)
    assert log_in(world, "192.0.2.1") == 200
    assert world.count(Counter.BANS) == 1


def test_sec_08_failures_count_in_a_window(make_world):
    world = limited(make_world)
    for _ in range(6):
        assert log_in(world, "192.0.2.1", password="wrong") == 401
        world.advance(21)
    assert bans(world) == set()


def test_sec_08_what_has_led_to_a_ban_counts_towards_no_other(make_world):
    world = limited(make_world, seconds=10)
    for _ in range(3):  # within one window
        assert [log_in(world, "192.0.2.1", password="wrong") for _ in range(4)] == [401] * 4
        assert bans(world) == {("192.0.2.1", "bob")}
        world.advance(11)
        assert bans(world) == set()
    assert log_in(world, "192.0.2.1") == 200


def test_sec_08_a_name_that_nobody_has_keeps_its_weight_for_the_source_when_it_is_banned(make_world):
    world = limited(make_world, threshold=6, weight=3)
    assert [log_in(world, "192.0.2.1", "nobody1", "wrong") for _ in range(7)] == [401] * 6 + [403]
    assert bans(world) == {("192.0.2.1", "nobody1")}
    assert log_in(world, "192.0.2.1", "nobody2", "wrong") == 401
    assert ("192.0.2.1", "") in bans(world)


def test_sec_08_a_success_resets_what_its_user_has_counted(make_world):
    world = limited(make_world)
    for _ in range(4):
        assert [log_in(world, "192.0.2.1", password=p) for p in ("wrong", "wrong", "wrong", "secret")] == [
            401,
            401,
            401,
            200,
        ]
    assert bans(world) == set()


def test_sec_08_a_success_of_one_user_does_not_cover_guesses_at_others(make_world):
    users = {f"u{n}": "secret" for n in range(4)} | {"mallory": "secret"}
    world = limited(make_world, auth={"users": users})
    got = []
    for n in range(4):
        got += [log_in(world, "192.0.2.1", f"u{n}", "wrong"), log_in(world, "192.0.2.1", "mallory")]
    assert got == [401, 200, 401, 200, 401, 200, 401, None]
    assert bans(world) == {("192.0.2.1", "")}


def test_sec_08_names_that_nobody_has_weigh_more_and_ban_the_source(make_world):
    world = limited(make_world, threshold=6, weight=3)
    assert log_in(world, "192.0.2.1", "nobody1", "wrong") == 401
    assert log_in(world, "192.0.2.1", "nobody1", "wrong") == 401  # one phone with a wrong name is one
    assert bans(world) == set()
    assert log_in(world, "192.0.2.1", "nobody2", "wrong") == 401
    assert bans(world) == {("192.0.2.1", "")}
    assert ask(world, "192.0.2.1") == (None, "")
    assert log_in(world, "192.0.2.2") == 200
    world.advance(101)
    assert log_in(world, "192.0.2.1") == 200


def test_sec_08_a_banned_user_who_goes_on_and_on_takes_the_source_along(make_world):
    world = limited(make_world, threshold=2, weight=1)
    for _ in range(2):
        log_in(world, "192.0.2.1", password="wrong")
    got = [log_in(world, "192.0.2.1", password=f"{n}") for n in range(22)]
    assert got == [403] * 21 + [None]
    assert bans(world) == {("192.0.2.1", ""), ("192.0.2.1", "bob")}


def test_sec_09_up_to_the_ban_a_name_that_nobody_has_looks_like_a_wrong_password(make_world):
    world = limited(make_world, threshold=4, weight=3)
    seen = {}
    for ip, user in (("192.0.2.1", "bob"), ("192.0.2.2", "nobody")):
        seen[user] = [log_in(world, ip, user, "wrong") for _ in range(6)]
    assert seen["bob"] == seen["nobody"] == [401] * 4 + [403] * 2


def test_stale_answers_count_for_nobody(make_world):
    world = limited(make_world, auth={"nonce_ttl_secs": 5})
    for _ in range(8):
        _, challenge = ask(world, "192.0.2.1")
        world.advance(6)
        status, again = ask(world, "192.0.2.1", credentials(challenge))
        assert (status, "stale=true" in again) == (401, True)
    assert bans(world) == set()


@pytest.mark.parametrize("weight", [1, 9])
def test_sec_08_who_forges_an_address_gets_nobody_banned(make_world, weight):
    """The forger knows a nonce that was sent to himself, and none that was sent to his victim."""
    world = limited(make_world, weight=weight)
    _, challenge = ask(world, "198.51.100.66")
    for number in range(1, 20):
        forged = credentials(challenge, f"nobody{number}", "wrong", number)
        status, again = ask(world, "192.0.2.1", forged)
        assert (status, "stale=true" in again) == (401, True)
        made_up = credentials(f'nonce="{"0" * 106}"', "bob", "wrong", number)
        assert ask(world, "192.0.2.1", made_up)[0] == 401
    assert bans(world) == set()
    assert log_in(world, "192.0.2.1") == 200


def test_sec_08_a_banned_user_cannot_be_used_to_get_his_source_banned(make_world):
    world = limited(make_world, threshold=2)
    for _ in range(2):
        log_in(world, "192.0.2.1", password="wrong")
    _, challenge = ask(world, "198.51.100.66")
    for number in range(1, 40):
        assert ask(world, "192.0.2.1", credentials(challenge, "bob", "wrong", number))[0] == 401
    assert bans(world) == {("192.0.2.1", "bob")}


def test_sec_08_guessing_with_the_nonce_of_another_address_tells_nothing(make_world):
    """Right or wrong, what was sent to another address is answered alike: else many could guess with one nonce."""
    world = limited(make_world)
    _, challenge = ask(world, "198.51.100.66")
    answers = [ask(world, "192.0.2.1", credentials(challenge, "bob", p)) for p in ("secret", "wrong")]
    assert [(status, "stale=true" in again) for status, again in answers] == [(401, True)] * 2
    assert log_in(world, "192.0.2.1") == 200  # a phone whose address has changed does as it is told


def test_an_ipv6_phone_may_use_another_address_of_its_64(make_world):
    world = limited(make_world, listen={"udp": ["[::1]:5060"]})
    _, challenge = ask(world, "2001:db8:1:2::1")
    assert ask(world, "2001:db8:1:2::2", credentials(challenge))[0] == 200
    assert ask(world, "2001:db8:1:3::2", credentials(challenge, nc=2))[0] == 401


def test_trusted_networks_are_never_counted_and_their_nonces_are_good_everywhere_in_them(make_world):
    world = limited(make_world, trusted=["192.0.2.0/24"])
    for _ in range(10):
        assert log_in(world, "192.0.2.1", "nobody", "wrong") == 401
    _, challenge = ask(world, "192.0.2.1")
    assert ask(world, "192.0.2.9", credentials(challenge))[0] == 200
    assert bans(world) == set()


def test_a_request_that_is_checked_twice_counts_once(make_world):
    world = limited(make_world, TWICE, threshold=3)
    for _ in range(2):
        assert log_in(world, "192.0.2.1", password="wrong") == 401
    assert bans(world) == set()
    assert log_in(world, "192.0.2.1", password="wrong") == 403  # the second check finds what the first has done
    assert bans(world) == {("192.0.2.1", "bob")}


def test_a_request_whose_handlers_run_again_after_a_death_counts_once(make_world):
    world = limited(make_world, SLOW, threshold=2)
    phone = world.agent("192.0.2.1")
    phone.send(phone.request("REGISTER", REGISTRAR, call_id="s"), worker=0)
    world.advance(0.5)
    answer = credentials(phone.last.first("WWW-Authenticate").decode(), password="wrong")
    phone.send(phone.request("REGISTER", REGISTRAR, call_id="s", cseq=2, headers=answer), worker=0)
    world.advance(0.1)
    world.kill(0)
    world.advance(2)
    assert phone.statuses[-1] == 401
    assert bans(world) == set()


def test_verify_digest_says_no_for_a_banned_user(make_world):
    world = limited(make_world, threshold=1)
    _, challenge = ask(world, "192.0.2.1")
    log_in(world, "192.0.2.1", password="wrong")
    assert bans(world) == {("192.0.2.1", "")}  # a threshold of one leaves nothing to weigh
    world = limited(make_world, LOOK, threshold=2)
    nonce = world.workers[0].runtime.services.digest.challenges(
        "example.com", stale=False, wall=world.clock.wall(), source="192.0.2.1"
    )[0]
    got = [ask(world, "192.0.2.1", credentials(nonce, password="wrong", nc=n))[0] for n in (1, 2)]
    assert got + [ask(world, "192.0.2.1", credentials(nonce, nc=3))[0]] == [486] * 3
    assert bans(world) == {("192.0.2.1", "bob")}


def test_what_is_remembered_of_a_source_is_bounded_and_ends(make_world, monkeypatch):
    monkeypatch.setattr("siphon.services.bans.failures.MOST", 64)
    world = limited(make_world, threshold=1000, weight=1)
    _, challenge = ask(world, "192.0.2.1")
    for number in range(150):
        ask(world, "192.0.2.1", credentials(challenge, f"n{number % 40}", "wrong", number + 1))
    sizes = [len(entry.value) for entry in world.limits._entries.values()]
    assert max(sizes) <= 1 + 25 * 64
    world.advance(61)
    world.limits.expire(world.clock(), 100)
    assert world.limits.empty


def test_damage_in_a_count_begins_it_anew(make_world):
    world = limited(make_world)
    log_in(world, "192.0.2.1", password="wrong")
    for entry in world.limits._entries.values():
        entry.value = b"\x01damage"
    for _ in range(3):
        assert log_in(world, "192.0.2.1", password="wrong") == 401
    assert bans(world) == set()


def test_without_the_setting_nonces_are_good_everywhere_and_nothing_is_counted(make_world):
    world = make_world(CHECK)
    _, challenge = ask(world, "198.51.100.66")
    assert ask(world, "192.0.2.1", credentials(challenge))[0] == 200
    for _ in range(20):
        assert log_in(world, "192.0.2.1", "nobody", "wrong") == 401
    assert world.limits.empty and bans(world) == set()
