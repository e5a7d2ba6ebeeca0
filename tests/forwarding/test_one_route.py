"""The one Route of a request in a dialog, in C: never another answer than loose_route() gives."""

from random import Random

import pytest
from forwarding_messages import IDENTITY, request

from siphon.forwarding._own_route import only_route, without_line
from siphon.forwarding.own_routes import path_value, record_route_value
from siphon.forwarding.routes import RouteFacts, RouteSigner, loose_route
from siphon.sip.identity import Identity, Listener
from siphon.sip.splices import apply_splices
from siphon.sip.uri import Uri

SIGNER = RouteSigner([b"secret", b"older"])
OURS = record_route_value("192.0.2.1:5060", b"call-1", SIGNER).decode()
TOKEN = OURS.partition("rrs=")[2][:20]
PATH = path_value(Uri.parse("sip:edge@192.0.2.1"), IDENTITY, SIGNER).decode()
WRITTEN = [
    OURS,
    OURS.replace("<sip", "<SIP"),
    OURS.replace(";rrs", ";transport=udp;rrs"),
    OURS.replace(">", ";x=1>"),
    OURS.replace(">", "?h=1>"),
    OURS.replace("192.0.2.1:5060", "192.0.2.1"),
    OURS.replace("192.0.2.1:5060", "example.com"),
    OURS.replace("192.0.2.1", "192.0.2.9"),
    OURS.replace("sip:", f"sip:a;rrs={TOKEN};b@"),
    OURS.replace("sip:", f"sip:{TOKEN}@"),
    OURS.replace("sip:", "sips:"),
    OURS.replace("rrs=", "RRS="),
    OURS.replace(TOKEN, TOKEN.upper()),
    OURS.replace(TOKEN, TOKEN[:-1]),
    OURS.replace(TOKEN, TOKEN + "0"),
    OURS.replace(TOKEN, "0" * 20),
    OURS.replace(f";rrs={TOKEN}", "") + f";rrs={TOKEN}",
    f'"a;rrs={TOKEN}" {OURS}',
    f"Proxy {OURS}",
    OURS[1:-1],
    f"{OURS}, {OURS}",
    f"{OURS};y=2",
    PATH,
    "<sip:203.0.113.5;lr>",
    f"<sip:192.0.2.1;rrs={TOKEN};rrs={TOKEN}>",
]


def agree(message, signer=SIGNER, identity=IDENTITY):
    """Whether the short way had an answer; it is the reference's."""
    expected = loose_route(RouteFacts.of(message), identity, signer)
    found = only_route(message, identity, signer)
    if found is not None:
        assert (expected.accepted, expected.consumed, expected.uri) == (True, (found,), None)
        assert (expected.routes, expected.unsigned) == ((), False)
    return found is not None


@pytest.mark.parametrize("call_id", ["call-1", "call-2"])
@pytest.mark.parametrize("value", WRITTEN)
def test_any_value_is_judged_as_by_the_reference(value, call_id):
    for to in ("<sip:bob@example.com>;tag=to1", "<sip:bob@example.com>"):
        for uri in ("sip:bob@198.51.100.9", OURS[1:-1]):
            agree(request("BYE", uri, [f"Route: {value}"], to=to, call_id=call_id))


def test_what_every_dialog_has_is_known_without_the_reference():
    for _ in range(2):
        assert agree(request("BYE", "sip:bob@198.51.100.9", [f"Route: {OURS}"]))
    assert not agree(request("BYE", "sip:bob@198.51.100.9", [f"Route: {OURS}"], call_id="call-2"))
    assert not agree(request("BYE", "sip:bob@198.51.100.9", [f"Route: {OURS}"]), signer=None)
    assert not agree(request("BYE", "sip:bob@198.51.100.9", [f"Route: {OURS}"] * 2))


def test_another_identity_has_other_places():
    other = Identity([Listener(0, "udp", "192.0.2.2", 5060, None, False)], None, [], ["192.0.2.2"])
    message = request("BYE", "sip:bob@198.51.100.9", [f"Route: {OURS}"])
    assert [agree(message), agree(message, identity=other), agree(message)] == [True, False, True]


def test_changed_values_are_judged_as_by_the_reference():
    random, plain = Random(7), 0
    for _ in range(3000):
        value = list(OURS)
        for _ in range(random.choice((0, 1, 1, 2))):
            at = random.randrange(len(value))
            value[at : at + random.randrange(2)] = random.choice(
                (";", ",", "<", ">", "@", '"', "a", "0", "rrs=", TOKEN)
            )
        try:
            message = request("BYE", "sip:bob@198.51.100.9", [f"Route: {''.join(value)}"])
        except ValueError:
            continue
        plain += agree(message)
    assert plain > 500


def test_all_lines_of_a_name_go():
    message = request("BYE", "sip:bob@198.51.100.9", [f"Route: {OURS}", "X: 1", "route: <sip:a>"])
    left = apply_splices(message.raw, without_line(message, b"Route"))
    assert b"oute" not in left and b"X: 1\r\n" in left
