"""`auth.require_*` in C (siphon/script/_requiring.pyx): what it leaves is what siphon/script/auth.py leaves alone."""

import re

import pytest
from script_kit import Bench, credentials, own_route, sip

from siphon.script.outcome import Answer

SCRIPT = """
from siphon import proxy, auth
@proxy.on_request
def route(request):
    {before}
    if auth.{call}(request{more}):
        request.reply(200)
"""
URI = "sip:example.com"
OTHER = 'Digest username="x", realm="elsewhere", nonce="n", uri="sip:x", response="r"'
CASES = [
    ("REGISTER", "require_digest", "", "pass"),
    ("INVITE", "require_digest", "", "pass"),
    ("INVITE", "require_www_digest", ", realm='siphon'", "pass"),
    ("REGISTER", "require_proxy_digest", ", realm='other'", "pass"),
    ("REGISTER", "require_digest", ", realm='r\xe9alm'", "pass"),
    ("REGISTER", "require_digest", ", password='secret'", "pass"),
    ("BYE", "require_digest", "", "pass"),
    ("ACK", "require_digest", "", "pass"),
    ("REGISTER", "require_digest", "", "request.set_header('X', 'y')"),
    ("INVITE", "require_digest", "", "request.loose_route()"),
    ("REGISTER", "require_digest", "", "auth.require_digest(request)"),
]


def benches(tmp_path, call, more, before):
    """One with the short way, one without."""
    made = []
    for name in ("short", "long"):
        (tmp_path / name).mkdir()
        made.append(Bench(tmp_path / name, SCRIPT.format(call=call, more=more, before=before)))
    made[1].services.digest.plain = None
    return made


def shown(outcome):
    """Everything of it, but for what is drawn at random."""
    fields = [name for name in dir(outcome) if not name.startswith("_") and name not in ("parsed", "action", "error")]
    text = repr([(name, getattr(outcome, name)) for name in fields] + [outcome.action, repr(outcome.error)])
    return re.sub(r'(nonce|response)="[0-9a-f.]{32,}"', r"\1", text)


def both(pair, raws):
    outcomes = [bench.route(raw) for bench, raw in zip(pair, raws, strict=True)]
    assert shown(outcomes[0]) == shown(outcomes[1])
    return outcomes


@pytest.mark.parametrize("password", ["secret", "wrong"])
@pytest.mark.parametrize(("method", "call", "more", "before"), CASES)
def test_challenge_and_verdict_are_the_same_by_both_ways(tmp_path, method, call, more, before, password):
    pair = benches(tmp_path, call, more, before)
    to = "<sip:bob@example.com>;tag=b1" if method == "BYE" else "<sip:bob@example.com>"
    routes = [[own_route(one)] if method == "BYE" else [] for one in pair]
    challenges = both(pair, [sip(method, URI, *route, to=to) for route in routes])
    if method == "ACK":
        return
    action = challenges[0].action
    assert isinstance(action, Answer) and action.status in (401, 407) and action.stateless == (method != "BYE")
    name = "Authorization" if action.status == 401 else "Proxy-Authorization"
    values = [credentials(one.action.headers[0][1], "alice", password, method, URI) for one in challenges]
    for lines in ([], [f"{name}: {OTHER}"]):
        given = [f"{name}: {value}" for value in values]
        raws = [sip(method, URI, one, *lines, *route, to=to) for one, route in zip(given, routes, strict=True)]
        outcomes = both(pair, raws)
        passed = [isinstance(one.action, Answer) and one.action.status == 200 for one in outcomes]
        assert passed == [password == "secret"] * 2 or lines


def test_what_is_wrong_with_the_call_is_told_by_both(tmp_path):
    for number, more in enumerate([", realm=7", ", realm='a\\r\\nb'", ", password='a', ha1='b'"]):
        place = tmp_path / str(number)
        place.mkdir()
        pair = benches(place, "require_digest", more, "pass")
        outcome = both(pair, [sip("REGISTER", URI)] * 2)[0]
        assert isinstance(outcome.error, (TypeError, ValueError))
