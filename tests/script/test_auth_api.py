"""`auth` as scripts see it (section 12); the checks of a digest themselves are tested in tests/services."""

import pytest
from script_kit import SECRET, Bench, credentials, header, own_route, sip

from siphon import auth
from siphon.script.outcome import Relay
from siphon.services.digest.verifier import DigestVerifier
from siphon.state.memory import MemoryTable
from siphon.state.store import Wait

CHECK = """
from siphon import proxy, auth
@proxy.on_request
def route(request):
    if {}:
        request.relay()
"""
URI = "sip:bob@example.com"
WRONG = (
    f'Proxy-Authorization: Digest username="alice", realm="example.com", nonce="n", uri="{URI}", response="{32 * "0"}"'
)


def checking(tmp_path, call="auth.require_digest(request)", **overrides):
    return Bench(tmp_path, CHECK.format(call), **overrides)


def answered(bench, method="INVITE", *headers, nc=1, password="secret", name=None, body=None, **more):
    """The outcome of a request that answers the challenge of the same request."""
    challenge = bench.route(sip(method, URI, *headers, **more)).action
    kind, text = challenge.headers[0]
    name = name or {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}[kind]
    value = credentials(text, "alice", password, method, URI, nc)
    return bench.route(sip(method, URI, f"{name}: {value}", *headers, **more))


@pytest.mark.parametrize(
    ("call", "method", "status", "name"),
    [
        ("auth.require_digest(request)", "REGISTER", 401, "WWW-Authenticate"),
        ("auth.require_digest(request)", "INVITE", 407, "Proxy-Authenticate"),
        ("auth.require_www_digest(request)", "INVITE", 401, "WWW-Authenticate"),
        ("auth.require_proxy_digest(request)", "REGISTER", 407, "Proxy-Authenticate"),
    ],
)
def test_auth_01_each_call_has_its_status_and_header(tmp_path, call, method, status, name):
    answer = checking(tmp_path, call).route(sip(method, URI)).action
    assert (answer.status, [key for key, _ in answer.headers], answer.stateless) == (status, [name], True)


@pytest.mark.parametrize(
    ("call", "status", "name"),
    [("require_www_digest", 401, "WWW-Authenticate"), ("require_proxy_digest", 407, "Proxy-Authenticate")],
)
def test_auth_01_the_challenge_for_a_count_that_another_node_has_seen_is_of_the_same_pair(tmp_path, call, status, name):
    bench = checking(tmp_path, f"auth.{call}(request)")
    bench.services.digest = DigestVerifier(
        bench.settings.auth, [SECRET], MemoryTable(), SECRET, confirm=lambda *_: Wait()
    )
    outcome = answered(bench)
    ((_, refusal),) = outcome.confirms
    assert isinstance(outcome.action, Relay)
    assert (refusal.status, [key for key, _ in refusal.headers]) == (status, [name])
    assert header(refusal, name).endswith(", stale=true")


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_the_right_answer_passes_sets_auth_user_and_its_line_is_removed(tmp_path, method):
    outcome = answered(checking(tmp_path), method)
    assert isinstance(outcome.action, Relay)
    assert outcome.auth_user == "alice"
    assert b"uthorization" not in outcome.message


def test_auth_13_credentials_of_other_realms_are_forwarded_untouched(tmp_path):
    other = 'Proxy-Authorization: Digest username="x", realm="elsewhere", nonce="n", uri="sip:x", response="r"'
    outcome = answered(checking(tmp_path), "INVITE", other)
    assert isinstance(outcome.action, Relay)
    assert outcome.message.count(b"Proxy-Authorization") == 1
    assert other.encode() in outcome.message


def test_auth_01_the_pairs_never_mix(tmp_path):
    outcome = answered(checking(tmp_path), name="Authorization")
    assert outcome.action.status == 407


def test_a_wrong_password_is_challenged_again_and_counted(tmp_path):
    outcome = answered(checking(tmp_path), password="wrong")
    assert (outcome.action.status, outcome.auth_failures, outcome.auth_user) == (407, 1, None)
    assert "stale" not in header(outcome.action, "Proxy-Authenticate")


@pytest.mark.parametrize("wrong", [[], [WRONG]])
@pytest.mark.parametrize(
    ("tag", "token", "stateless"),
    [(";tag=b1", True, False), (";tag=b1", False, True), ("", True, True), (";tag=b1", None, True)],
)
def test_sec_01_a_challenge_keeps_state_only_inside_a_dialog_whose_signed_route_comes_back(
    tmp_path, tag, token, stateless, wrong
):
    bench = checking(tmp_path)
    headers = {True: [own_route(bench)], False: ["Route: <sip:127.0.0.1:5060;lr;rrs=forged>"], None: []}[token]
    answer = bench.route(sip("BYE", URI, *headers, *wrong, to=f"<sip:bob@example.com>{tag}")).action
    assert (answer.status, answer.stateless) == (407, stateless)
    bench.write(CHECK.format("request.loose_route() and auth.require_proxy_digest(request)"))
    bench.runtime.load()
    if token:
        answer = bench.route(sip("BYE", URI, *headers, to=f"<sip:bob@example.com>{tag}")).action
        assert (answer.status, answer.stateless) == (407, stateless)


def test_verify_digest_takes_either_header_arms_nothing_and_removes_nothing(tmp_path):
    challenger = checking(tmp_path)
    challenge = header(challenger.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    challenger.write(CHECK.format("auth.verify_digest(request)"))
    challenger.runtime.load()
    assert challenger.route(sip("INVITE", URI)).action is None
    for nc, name in enumerate(("Authorization", "Proxy-Authorization"), 1):
        value = credentials(challenge, "alice", "secret", "INVITE", URI, nc)
        outcome = challenger.route(sip("INVITE", URI, f"{name}: {value}"))
        assert isinstance(outcome.action, Relay)
        assert (outcome.auth_user, outcome.edited) == ("alice", False)


def test_the_same_transaction_may_be_checked_any_number_of_times(tmp_path):
    bench = checking(tmp_path, "auth.require_digest(request) and auth.require_digest(request)")
    assert isinstance(answered(bench).action, Relay)


def test_auth_08_a_nonce_count_used_before_is_stale(tmp_path):
    bench = checking(tmp_path)
    challenge = header(bench.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    raw = sip("INVITE", URI, f"Proxy-Authorization: {credentials(challenge, 'alice', 'secret', 'INVITE', URI)}")
    assert isinstance(bench.route(raw).action, Relay)
    again = bench.route(raw)
    assert header(again.action, "Proxy-Authenticate").endswith(", stale=true")
    assert again.auth_failures == 0


def test_auth_11_a_digest_for_another_uri_is_400(tmp_path):
    bench = checking(tmp_path)
    challenge = header(bench.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    value = credentials(challenge, "alice", "secret", "INVITE", "sip:carol@example.com")
    assert bench.route(sip("INVITE", URI, f"Proxy-Authorization: {value}")).action.status == 400


@pytest.mark.parametrize("name", ["response", "nonce"])
def test_auth_17_credentials_with_a_parameter_twice_are_400(tmp_path, name):
    bench = checking(tmp_path)
    challenge = header(bench.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    value = credentials(challenge, "alice", "secret", "INVITE", URI) + f', {name}="x"'
    answer = bench.route(sip("INVITE", URI, f"Proxy-Authorization: {value}")).action
    assert (answer.status, answer.reason) == (400, "Malformed Credentials")


def test_auth_11_lax_accepts_a_digest_for_another_uri_of_a_local_host(tmp_path):
    bench = checking(tmp_path, auth={"uri_check": "lax"})
    challenge = header(bench.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    for nc, (uri, passes) in enumerate([("sip:carol@example.com", True), ("sip:carol@example.org", False)], 1):
        value = credentials(challenge, "alice", "secret", "INVITE", uri, nc)
        assert isinstance(bench.route(sip("INVITE", URI, f"Proxy-Authorization: {value}")).action, Relay) is passes


@pytest.mark.parametrize("scheme", ["Basic YWxpY2U6c2VjcmV0", "NewScheme a=b", "Bearer x.y.z"])
def test_auth_14_another_scheme_is_challenged_with_digest_alone(tmp_path, scheme):
    answer = checking(tmp_path).route(sip("INVITE", URI, f"Proxy-Authorization: {scheme}")).action
    assert answer.status == 407
    assert all(value.startswith("Digest ") for _, value in answer.headers)


def test_auth_10_credentials_that_fit_no_challenge_of_ours_get_a_fresh_one(tmp_path):
    bench = checking(tmp_path)
    challenge = header(bench.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    good = credentials(challenge, "alice", "secret", "INVITE", URI)
    for old, new in (('nonce="', 'nonce="0'), ('opaque="', 'opaque="0'), ('realm="', 'realm="0')):
        answer = bench.route(sip("INVITE", URI, f"Proxy-Authorization: {good.replace(old, new)}")).action
        assert answer.status == 407
        assert "stale" not in header(answer, "Proxy-Authenticate")


def test_the_uri_as_received_counts_not_what_the_script_made_of_it(tmp_path):
    bench = checking(tmp_path, "request.set_ruri('sip:x@h') or auth.require_digest(request)")
    outcome = answered(bench)
    assert isinstance(outcome.action, Relay)
    assert str(outcome.message).count("sip:x@h") == 1


def test_realm_password_and_ha1_can_be_given(tmp_path):
    bench = checking(tmp_path, "auth.require_digest(request, 'other', password='secret')")
    assert 'realm="other"' in header(bench.route(sip("INVITE", URI)).action, "Proxy-Authenticate")
    assert isinstance(answered(bench).action, Relay)
    ha1 = "0" * 32
    bench = checking(tmp_path, f"auth.require_digest(request, realm='other', ha1='{ha1}')")
    assert answered(bench).action.status == 407


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("auth.require_digest(request, password='a', ha1='b')", ValueError),
        ("auth.require_www_digest('x')", TypeError),
        ("auth.require_proxy_digest(None)", TypeError),
        ("auth.verify_digest(5)", TypeError),
        ("auth.require_digest(request, 'a\\r\\nb')", ValueError),
    ],
)
def test_wrong_arguments_are_errors_of_the_script(tmp_path, call, error):
    assert isinstance(checking(tmp_path, call).route(sip()).error, error)


def test_a_later_challenge_replaces_the_earlier_and_success_lets_the_last_action_win(tmp_path):
    bench = checking(tmp_path, "auth.require_digest(request, 'a') or auth.require_digest(request, 'b')")
    answer = bench.route(sip()).action
    assert len(answer.headers) == 1
    assert 'realm="b"' in answer.headers[0][1]


def test_auth_04_one_challenge_a_configured_algorithm_with_one_nonce(tmp_path):
    bench = checking(tmp_path, auth={"algorithms": ["SHA-512-256", "SHA-256", "MD5"]})
    values = [value for _, value in bench.route(sip()).action.headers]
    assert [value.split("algorithm=")[1].split(",")[0] for value in values] == ["SHA-512-256", "SHA-256", "MD5"]
    assert len({value.split('nonce="')[1].split('"')[0] for value in values}) == 1


def test_nonces_are_made_and_validated(tmp_path):
    bench = checking(tmp_path)
    nonce = auth.generate_nonce()
    assert auth.validate_nonce(nonce)
    assert not auth.validate_nonce(nonce[:-1] + "x")
    assert not auth.validate_nonce(None)
    bench.wall += 3601
    assert not auth.validate_nonce(nonce)
