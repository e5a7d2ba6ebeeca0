"""Verdicts over credentials (RFC 7616, RFC 8760) by checklist id. Time is an argument."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from digest_server import REALM, WALL, Server
from phone import Phone, parameter

from siphon.services.digest import Secret, Verdict
from siphon.services.digest.hashes import Algorithm, hash_function
from siphon.services.store import StoreError
from siphon.state.memory import MemoryTable

HA1 = hashlib.md5(b"alice:example.com:secret").hexdigest()
ALL = ["SHA-512-256", "SHA-256", "MD5"]


def test_auth_03_a_challenge_has_all_its_parts_and_quotes_where_they_belong() -> None:
    challenge = Server().challenge()
    assert challenge.startswith('Digest realm="example.com", nonce="')
    assert ', algorithm=MD5, qop="auth", opaque="' in challenge
    assert "stale" not in challenge


def test_auth_04_one_challenge_for_each_algorithm_in_the_configured_order_with_one_nonce() -> None:
    challenges = Server(algorithms=ALL).verifier.challenges(REALM, stale=True, wall=WALL)
    assert [parameter(c, "algorithm") for c in challenges] == ALL
    assert len({parameter(c, "nonce") for c in challenges}) == 1
    assert all(c.endswith(", stale=true") for c in challenges)


def test_auth_04_unless_configured_md5_is_offered_alone() -> None:
    challenges = Server().verifier.challenges(REALM, stale=False, wall=WALL)
    assert [parameter(c, "algorithm") for c in challenges] == ["MD5"]


def test_auth_05_sha_512_256_has_its_own_initial_value() -> None:
    digest = hash_function(Algorithm.SHA_512_256)
    assert digest(b"abc") == b"53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    assert digest(b"abc") != hashlib.sha512(b"abc").hexdigest()[:64].encode()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_auth_05_every_offered_algorithm_is_accepted(position: int) -> None:
    server = Server(algorithms=ALL)
    challenge = server.verifier.challenges(REALM, stale=False, wall=WALL)[position]
    verdict = server.verify(Phone().answer(challenge))
    assert (verdict.ok, verdict.user) == (True, "alice")


def test_auth_05_the_example_of_rfc_7616_gives_its_published_response() -> None:
    phone = Phone("Mufasa", "Circle of Life", "http-auth@example.org", "/dir/index.html")
    phone.cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    nonce = 'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
    sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert phone.response(f"algorithm=SHA-256, {nonce}", "GET") == sha
    assert phone.response(f"algorithm=MD5, {nonce}", "GET") == "8ca523f5e9506fed4657c9700eebdbec"


def test_auth_06_credentials_without_algorithm_are_md5() -> None:
    server = Server()
    line = Phone().answer(server.challenge()).replace(b"algorithm=MD5, ", b"")
    assert server.verify(line).ok


@pytest.mark.parametrize("name", [b"MD5-sess", b"SHA-256", b"SHA-1", b"token"])
def test_auth_06_an_algorithm_that_was_not_offered_fails(name: bytes) -> None:
    server = Server()
    line = Phone().answer(server.challenge()).replace(b"algorithm=MD5", b"algorithm=" + name)
    verdict = server.verify(line)
    assert (verdict.ok, verdict.stale, verdict.bad_request) == (False, False, False)


def test_auth_07_without_qop_a_nonce_is_good_for_one_transaction() -> None:
    server = Server()
    line = Phone().answer(server.challenge(), qop=None)
    assert server.verify(line, transaction=b"t" * 16).ok
    assert server.verify(line, transaction=b"t" * 16).ok
    assert server.verify(line, transaction=b"u" * 16).stale


def test_auth_07_a_nonce_used_without_qop_is_not_good_with_it_either_nor_the_other_way_round() -> None:
    server = Server()
    first, second = server.challenge(), server.challenge()
    assert server.verify(Phone().answer(first, qop=None)).ok
    assert server.verify(Phone().answer(first)).stale
    assert server.verify(Phone().answer(second)).ok
    assert server.verify(Phone().answer(second, qop=None)).stale


def test_auth_07_without_qop_is_refused_when_not_allowed_and_for_sha() -> None:
    strict = Server(allow_no_qop=False)
    assert not strict.verify(Phone().answer(strict.challenge(), qop=None)).ok
    sha = Server(algorithms=["SHA-256"])
    assert not sha.verify(Phone().answer(sha.challenge(), qop=None)).ok


def test_auth_08_a_count_must_grow_and_may_jump() -> None:
    server = Server()
    challenge = server.challenge()
    assert server.verify(Phone().answer(challenge, count=1)).ok
    assert server.verify(Phone().answer(challenge, count=7)).ok
    used = server.verify(Phone().answer(challenge, count=7))
    assert (used.ok, used.stale, used.failed) == (False, True, False)
    assert server.verify(Phone().answer(challenge, count=3)).stale
    assert server.verify(Phone().answer(challenge, count=0)).stale


def test_shared_09_a_count_used_in_one_worker_is_refused_by_every_other() -> None:
    one = Server()
    two = one.worker()
    challenge = one.challenge()
    assert two.verify(Phone().answer(challenge, count=1)).ok
    assert one.verify(Phone().answer(challenge, count=1)).stale
    assert one.verify(Phone().answer(challenge, count=2)).ok


def test_auth_08_of_two_workers_that_race_for_one_count_exactly_one_wins() -> None:
    one = Server()
    two = one.worker()
    line = Phone().answer(one.challenge())
    results: list[Verdict] = []
    plain_commit = one.table.commit

    def overtaken(*args: Any, **kwargs: Any) -> int:
        one.table.commit = plain_commit  # type: ignore[method-assign]
        results.append(two.verify(line))
        return plain_commit(*args, **kwargs)

    one.table.commit = overtaken  # type: ignore[method-assign]
    assert one.verify(line).stale
    assert [verdict.ok for verdict in results] == [True]


def test_auth_08_the_same_transaction_may_be_checked_again_after_later_ones_and_after_expiry() -> None:
    server = Server(nonce_ttl_secs=10)
    challenge = server.challenge()
    first = Phone().answer(challenge, count=1)
    assert server.verify(first, transaction=b"t" * 16).ok
    assert server.verify(Phone().answer(challenge, count=2)).ok
    assert server.worker().verify(first, transaction=b"t" * 16, wall=WALL + 31).ok
    assert server.verify(first, transaction=b"t" * 16, wall=WALL + 50).stale


def test_auth_09_a_right_digest_on_an_expired_nonce_is_stale_and_a_wrong_one_is_not() -> None:
    server = Server()
    challenge = server.challenge()
    assert server.verify(Phone().answer(challenge), wall=WALL + 3601).stale
    wrong = server.verify(Phone(password="guess").answer(challenge), wall=WALL + 3601)
    assert (wrong.stale, wrong.failed) == (False, True)


def test_auth_09_a_nonce_from_a_clock_far_ahead_is_stale_and_from_one_slightly_ahead_is_good() -> None:
    server = Server()
    assert server.verify(Phone().answer(server.challenge(WALL + 59))).ok
    assert server.verify(Phone().answer(server.challenge(WALL + 62))).stale


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'nonce="0', b'nonce="1'), (b'opaque="', b'opaque="x'), (b'realm="example.com"', b'realm="example.org"')],
)
def test_auth_10_an_altered_nonce_opaque_or_realm_gets_a_fresh_challenge(old: bytes, new: bytes) -> None:
    server = Server()
    line = Phone().answer(server.challenge())
    assert old in line
    verdict = server.verify(line.replace(old, new, 1))
    assert (verdict.ok, verdict.stale, verdict.bad_request) == (False, False, False)
    assert server.table.stats().records == 0


@pytest.mark.parametrize("position", [0, 15, 16, 17, 40, 41, 42, 73, 74, 105])
def test_auth_10_a_nonce_with_any_character_altered_is_no_nonce_though_the_digest_is_right(position: int) -> None:
    server = Server()
    challenge = server.challenge()
    nonce = parameter(challenge, "nonce")
    altered = nonce[:position] + ("1" if nonce[position] == "0" else "0") + nonce[position + 1 :]
    verdict = server.verify(Phone().answer(challenge.replace(nonce, altered)))
    assert (verdict.ok, verdict.stale, verdict.failed) == (False, False, True)
    assert server.verify(Phone().answer(challenge)).ok


@pytest.mark.parametrize("nonce", [b"", b"x", b"0" * 106, b"." * 106, b"\xff" * 106, b"0" * 65000])
def test_auth_10_an_invented_nonce_never_raises(nonce: bytes) -> None:
    server = Server()
    line = b'Digest username="alice", realm="example.com", nonce="%b", uri="sip:example.com", response="0"' % nonce
    assert server.verify(line).failed


def test_auth_10_without_opaque_the_answer_is_good() -> None:
    server = Server()
    line = Phone().answer(server.challenge())
    assert server.verify(line.replace(b', opaque="', b', ignored="')).ok


def test_auth_12_the_method_is_that_of_the_request() -> None:
    server = Server()
    line = Phone().answer(server.challenge(), method="REGISTER")
    assert server.verify(line, method="INVITE").failed
    assert server.verify(line, method="REGISTER").ok


@pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS", "PRACK", "REFER"])
def test_auth_12_no_method_but_ack_passes_with_the_credentials_of_another(method: str) -> None:
    for other in ("REGISTER", "INVITE", "BYE", "CANCEL"):
        server = Server()
        verdict = server.verify(Phone().answer(server.challenge(), method=other), method=method)
        assert verdict.ok is (method == other)


def test_auth_13_only_the_lines_of_our_realm_are_used_and_reported() -> None:
    server = Server()
    ours = Phone().answer(server.challenge())
    other = Phone(realm="elsewhere.org").answer(server.challenge())
    verdict = server.verify(other, b"Basic xyz", ours, other)
    assert verdict.ok
    assert verdict.line_indexes == (2,)
    assert server.verify(other) == Verdict()


def test_auth_13_of_several_answers_for_our_realm_the_good_one_counts() -> None:
    server = Server(algorithms=ALL)
    challenges = server.verifier.challenges(REALM, stale=False, wall=WALL)
    verdict = server.verify(Phone(password="x").answer(challenges[0]), Phone().answer(challenges[2]))
    assert verdict.ok
    assert verdict.line_indexes == (0, 1)


def test_auth_14_basic_is_neither_offered_nor_accepted() -> None:
    server = Server()
    assert server.verify(b"Basic YWxpY2U6c2VjcmV0") == Verdict()


def test_auth_15_user_hash_and_auth_int_were_never_offered() -> None:
    server = Server()
    assert server.verify(Phone(extra=", userhash=true").answer(server.challenge())).failed
    assert server.verify(Phone().answer(server.challenge(), qop="auth-int")).failed


@pytest.mark.parametrize("text", [b"UTF-8''j%C3%B6rg", b"utf-8'de-AT'j%c3%b6rg"])
def test_auth_15_an_extended_user_name_logs_in_as_the_name_that_it_stands_for(text: bytes) -> None:
    server = Server(users={"jörg": "secret"})
    line = Phone(user="jörg").answer(server.challenge()).replace('username="jörg"'.encode(), b"username*=" + text)
    assert server.verify(line).user == "jörg"


@pytest.mark.parametrize("name", [b"response", b"nonce"])
def test_auth_17_a_parameter_twice_is_a_bad_request_only_in_our_realm(name: bytes) -> None:
    server = Server()
    twice = b', %b="again"' % name
    assert server.verify(Phone().answer(server.challenge()) + twice).bad_request
    assert server.verify(Phone(realm="elsewhere.org").answer(server.challenge()) + twice) == Verdict()


def test_auth_17_a_quoted_pair_may_be_hashed_as_sent_or_as_meant() -> None:
    server = Server(users={'a"b': "secret"})
    plain = Phone(user='a"b').answer(server.challenge()).replace(b'username="a"b"', rb'username="a\"b"')
    assert server.verify(plain).user == 'a"b'
    assert server.verify(Phone(user=r"a\"b").answer(server.challenge())).user == 'a"b'


def test_sec_09_an_unknown_user_looks_like_a_wrong_password_and_costs_the_same_hashes() -> None:
    server = Server()
    counted: list[bytes] = []
    plain = server.verifier._hashes[Algorithm.MD5]
    server.verifier._hashes[Algorithm.MD5] = lambda data: counted.append(data) or plain(data)  # type: ignore[func-returns-value]
    wrong = server.verify(Phone(password="x").answer(server.challenge()))
    spent = len(counted)
    unknown = server.verify(Phone(user="mallory").answer(server.challenge()))
    assert wrong == unknown
    assert len(counted) == 2 * spent


def test_sec_09_nobody_can_log_in_with_the_stand_in_for_unknown_users() -> None:
    server = Server()
    assert server.verify(Phone(user="mallory", password="nobody has this password").answer(server.challenge())).failed
    assert server.verify(Phone(user="mallory", password="").answer(server.challenge())).failed


@pytest.mark.parametrize("place", [0, 15, 16, 20, 41, 42, 80, -1])
def test_sec_16_a_nonce_with_one_character_changed_is_nobodys(place: int) -> None:
    server = Server()
    nonce = server.verifier.generate_nonce(WALL)
    changed = list(nonce)
    changed[place] = "1" if changed[place] != "1" else "2"
    assert server.verifier.validate_nonce(nonce, WALL)
    assert not server.verifier.validate_nonce("".join(changed), WALL)


def test_sec_16_a_nonce_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or compare(a, b))
    server = Server()
    line = Phone().answer(server.challenge())
    assert server.verify(line).ok
    assert [len(value) for value in compared] == [64, 16, 32]  # nonce, opaque, response


def test_sec_16_an_old_secret_still_verifies_and_the_first_one_signs() -> None:
    old = Server(secrets=[b"old" * 8])
    challenge = old.challenge()
    rotated = old.worker(secrets=[b"new" * 8, b"old" * 8])
    assert rotated.verify(Phone().answer(challenge)).ok
    assert not old.verify(Phone().answer(rotated.challenge())).ok


def test_a_nonce_can_be_made_and_validated_without_using_it() -> None:
    server = Server()
    nonce = server.verifier.generate_nonce(WALL)
    assert server.verifier.validate_nonce(nonce, WALL)
    assert not server.verifier.validate_nonce(nonce, WALL + 3601)
    assert not server.verifier.validate_nonce(nonce[:-1] + "\ud800", WALL)
    assert not server.verifier.validate_nonce(None, WALL)
    assert server.table.stats().records == 0


def test_shared_11_nonces_never_collide() -> None:
    server = Server()
    assert len({server.verifier.generate_nonce(WALL) for _ in range(10_000)}) == 10_000


def test_a_password_or_ha1_of_the_script_is_used_instead_of_the_configured_users() -> None:
    server = Server(users={}, algorithms=ALL)
    challenge = server.challenge(ha1=HA1)
    assert parameter(challenge, "algorithm") == "MD5"
    assert server.verify(Phone().answer(challenge), ha1=HA1).ok
    assert server.verify(Phone(password="p").answer(server.challenge()), password="p").ok


HTTP = {"backend": "http", "http": {"url": "http://auth.test/{username}"}}


def test_with_another_service_only_what_it_said_counts() -> None:
    server = Server(**HTTP)
    line = Phone().answer(server.challenge())
    assert server.verify(line, fetched={b"alice": Secret.from_password("secret")}).ok
    other = Phone(password="another").answer(server.challenge())
    assert server.verify(other, fetched={b"alice": Secret.from_password("another")}).ok
    unknown = server.verify(Phone().answer(server.challenge()), fetched={b"alice": None})
    assert (unknown.failed, unknown.unavailable) == (True, False)


@pytest.mark.parametrize("fetched", [None, {}, {b"bob": None}])
def test_without_an_answer_of_the_other_service_nobody_has_failed(fetched: dict[bytes, None] | None) -> None:
    server = Server(**HTTP)
    verdict = server.verify(Phone().answer(server.challenge()), fetched=fetched)
    assert (verdict.ok, verdict.unavailable, verdict.failed) == (False, True, False)
    assert server.verify(Phone(password="p").answer(server.challenge()), password="p", fetched=fetched).ok


def test_ha1s_of_another_service_offer_the_first_algorithm_alone() -> None:
    server = Server(backend="http", http={**HTTP["http"], "ha1": True}, algorithms=["SHA-256", "MD5"])
    (only,) = server.verifier.challenges(REALM, stale=False, wall=WALL)
    assert parameter(only, "algorithm") == "SHA-256"
    digits = Phone().hash("SHA-256", "alice:example.com:secret")
    known = {b"alice": Secret.of_algorithm(digits, Algorithm.SHA_256)}
    assert server.verify(Phone().answer(only), fetched=known).ok
    as_md5 = Phone().answer(only.replace("SHA-256", "MD5"))
    assert server.verify(as_md5, fetched=known).failed
    assert len(server.verifier.challenges(REALM, stale=False, wall=WALL, password="p")) == 2


def test_secrets_are_fetched_only_for_users_whose_nonce_is_ours() -> None:
    server = Server(**HTTP)
    ours, of_another_realm = server.challenge(), server.verifier.challenges("other", stale=False, wall=WALL)[0]
    foreign = Phone(user="mallory").answer(ours.replace('nonce="', 'nonce="0'))
    good, other = Phone().answer(ours), Phone(user="bob", realm="other").answer(of_another_realm)
    twice = Phone(user="eve").answer(ours) + b', nonce="x"'
    lines = [foreign, b"Basic YTpi", good, good, other, twice]
    assert server.verifier.users_to_fetch(lines) == [b"alice", b"bob"]
    many = [Phone(user=f"u{number}").answer(ours) for number in range(100)]
    assert len(server.verifier.users_to_fetch(many)) == 4


def test_an_ha1_of_64_digits_offers_and_accepts_sha_256_alone() -> None:
    server = Server(users={}, algorithms=["MD5"])
    digits = Phone().hash("SHA-256", "alice:example.com:secret")
    (only,) = server.verifier.challenges(REALM, stale=False, wall=WALL, ha1=digits)
    assert parameter(only, "algorithm") == "SHA-256"
    assert server.verify(Phone().answer(only), ha1=digits).ok
    assert server.verify(Phone().answer(server.challenge()), ha1=digits).failed


def test_auth_05_a_digest_is_lower_case_hex_of_its_algorithms_length() -> None:
    server = Server(algorithms=ALL)
    for digits, challenge in zip((64, 64, 32), server.verifier.challenges(REALM, stale=False, wall=WALL), strict=True):
        phone, count = Phone(), 1 + server.transactions
        digest = phone.response(challenge, count=count)
        assert len(digest) == digits
        line = phone.answer(challenge, count=count)
        assert server.verify(line.replace(digest.encode(), digest.upper().encode())).failed
        assert server.verify(line).ok


def test_both_password_and_ha1_or_an_ha1_of_another_length_are_programming_errors() -> None:
    server = Server()
    with pytest.raises(ValueError, match="not both"):
        server.verify(password="p", ha1=HA1)
    with pytest.raises(ValueError, match="hex digits"):
        server.verify(ha1="abc")
    with pytest.raises(ValueError, match="control"):
        server.verifier.challenges("a\r\nb", stale=False, wall=WALL)


def test_a_user_with_ha1s_answers_only_with_an_algorithm_that_has_one() -> None:
    server = Server(users={"alice": {"ha1": HA1.upper()}}, algorithms=["SHA-256", "MD5"])
    sha, md5 = server.verifier.challenges(REALM, stale=False, wall=WALL)
    assert server.verify(Phone().answer(md5)).ok
    assert server.verify(Phone().answer(sha)).failed
    assert server.verify(Phone(password="").answer(sha)).failed


def test_auth_02_the_ack_of_an_authenticated_invite_passes_with_its_credentials() -> None:
    server = Server()
    line = Phone().answer(server.challenge(), method="INVITE")
    assert server.verify(line, method="INVITE").ok
    assert server.verify(line, method="ACK", wall=WALL + 9999).ok


def test_a_full_nonce_table_lets_the_oldest_go_and_their_age_counts_as_expired() -> None:
    server = Server(table=MemoryTable(records=600), nonce_ttl_secs=1000)
    first = server.challenge(WALL)
    assert server.verify(Phone().answer(first), wall=WALL).ok
    for second in range(1, 700):
        assert server.verify(Phone().answer(server.challenge(WALL + second)), wall=WALL + second).ok
    assert server.table.stats().records <= 600
    assert server.verify(Phone().answer(first, count=1), wall=WALL + 700).stale
    assert server.verify(Phone().answer(server.challenge(WALL + 701)), wall=WALL + 701).ok


def test_shared_34_after_the_clock_was_set_back_the_age_of_what_had_to_go_voids_no_new_nonce() -> None:
    server = Server(table=MemoryTable(records=600), nonce_ttl_secs=1000)
    for second in range(700):
        assert server.verify(Phone().answer(server.challenge(WALL + second)), wall=WALL + second).ok
    back = WALL - 3600
    used = server.challenge(back)
    assert server.verify(Phone().answer(used), wall=back).ok
    for second in range(1, 700):
        assert server.verify(Phone().answer(server.challenge(back + second)), wall=back + second).ok
    assert server.verify(Phone().answer(used, count=1), wall=back + 700).stale


def test_a_damaged_nonce_record_counts_as_used_up() -> None:
    server = Server()
    challenge = server.challenge()
    assert server.verify(Phone().answer(challenge)).ok
    (keys, _) = server.table.keys(10)
    found = server.table.get(keys[0])
    assert isinstance(found, tuple)
    server.table.commit(keys[0], found[0], b"\xc1 not msgpack", owner=0)
    assert server.verify(Phone().answer(challenge, count=2)).stale


def test_a_nonce_table_that_stays_busy_raises_the_error_that_scripts_see() -> None:
    server = Server()
    challenge = server.challenge()
    assert server.verify(Phone().answer(challenge)).ok
    server.table.busy.update(server.table.keys(10)[0])
    with pytest.raises(StoreError):
        server.verify(Phone().answer(challenge, count=2))
