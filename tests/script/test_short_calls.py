"""What scripts call in C: never another result than the way in Python that is left for the rest."""

import copy
from dataclasses import replace

import pytest
from script_kit import Bench, sip

from siphon.script import text
from siphon.script._uri import UriFields
from siphon.script.answering import Answering
from siphon.script.contact import Contact
from siphon.script.flow import Flow
from siphon.script.message import Headers
from siphon.script.outcome import Fork, Relay, TargetSpec
from siphon.script.uri import SipUri
from siphon.services.location.binding import Binding

PLAIN = Binding(
    *("sip:bob@192.0.2.9:5070", 0.5, (("+sip.instance", '"<urn:uuid:1>"'), ("X-A", None)), None, None, "c", 1),
    *(
        1_700_000_060.4,
        1_700_000_000.0,
        (),
        "udp",
        ("192.0.2.9", 5070),
        ("127.0.0.1", 5070),
        False,
        None,
        b"t",
        "start-1",
    ),
)
SCRIPT = """
from siphon import proxy, registrar
@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.fork(registrar.lookup(request.ruri))
"""


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, "")


def contact(bench, elsewhere=False, **changed):
    return Contact(replace(PLAIN, **changed), bench.services, 1_700_000_010.0, elsewhere=elsewhere)


def test_a_contact_shows_its_binding(bench):
    found = contact(bench, flow_token="t1", path=("<sip:p;lr>",))
    assert (found.uri, str(found), found.kind, found.q) == (PLAIN.uri, PLAIN.uri, "ue", 0.5)
    assert (found.expires, found.age_secs, found.path) == (50, 10, ["<sip:p;lr>"])
    assert (found.received, found.flow_token) == ("sip:192.0.2.9:5070;transport=udp", "t1")
    assert (found.instance_id, found.instance_epoch, found.params) == ("<urn:uuid:1>", "start-1", [("x-a", None)])
    assert (found.listener, found.is_local) == (1, True)
    assert found.flow == Flow("udp", "192.0.2.9:5070", "127.0.0.1:5070", "udp:127.0.0.1:5070:192.0.2.9:5070")
    assert repr(found) == f"Contact({PLAIN.uri!r}, q=0.5, expires=50)"
    with pytest.raises(AttributeError):
        found.anything = 1


def test_a_contact_of_an_address_that_is_no_more_ours(bench):
    gone = {"local": ("127.0.0.1", 5099)}
    assert (contact(bench, **gone).listener, contact(bench, **gone).is_local) == (None, True)  # its epoch is ours
    assert not contact(bench, epoch="other", **gone).is_local
    assert not contact(bench, elsewhere=True).is_local
    bench.services.identity = None
    assert contact(bench).listener is None


@pytest.mark.parametrize(
    ("changed", "spec"),
    [
        ({}, TargetSpec(PLAIN.uri, (), PLAIN.source, False, 1, "127.0.0.1:5070", 0.5, None, None, True, True)),
        (
            {"path": ("<sip:p;lr>",), "behind_nat": True},
            TargetSpec(PLAIN.uri, ("<sip:p;lr>",), PLAIN.source, False, 1, "127.0.0.1:5070", 0.5, None, None, True),
        ),
        (
            {"uri": "tel:911", "local": ("192.0.2.1", 1)},
            TargetSpec("tel:911", (), PLAIN.source, False, None, None, 0.5, None, None, True, False),
        ),
        (
            {"uri": "SIPS:bob@h", "transport": "tcp"},
            TargetSpec("SIPS:bob@h", (), PLAIN.source, False, None, None, 0.5, None, None, True),
        ),
    ],
)
def test_a_contact_as_a_target(bench, changed, spec):
    assert contact(bench, **changed).target() == spec


def test_a_contact_behind_nat_is_reached_over_its_flow(bench):
    spec = contact(bench, behind_nat=True).target()
    assert spec.via_source and spec.flow == contact(bench).flow.spec()
    assert not contact(bench, behind_nat=True, elsewhere=True).target().via_source


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (lambda b: [[contact(b)]], {}),
        (lambda b: [[contact(b), contact(b, uri="tel:1")]], {"strategy": "parallel"}),
        (lambda b: [[contact(b)], "q"], {}),
        (lambda b: [[contact(b)]], {"timeout": 3}),
        (lambda b: [(contact(b),)], {}),
        (lambda b: [[contact(b), "sip:x@h"]], {}),
        (lambda b: [[]], {}),
        (lambda b: [["nonsense"]], {}),
    ],
)
def test_fork_is_the_same_either_way(bench, arguments, named):
    short, long = bench.request(sip()), bench.request(sip())
    short.fork(*arguments(bench), **named)
    targets, *strategy = arguments(bench)
    Answering._fork(
        long, targets, *(strategy or [named.get("strategy", "parallel")]), None, None, None, named.get("timeout")
    )
    assert short._action == long._action and short._armed_at == long._armed_at == 1


def test_relay_is_the_same_either_way(bench):
    short, long = bench.request(sip()), bench.request(sip())
    short.relay()
    long._relay(None, None, None, None, None, None)
    assert short._action == long._action == Relay() and short._armed_at == long._armed_at == 1


@pytest.mark.parametrize("wrong", [lambda r: r.fork("sip:x@h"), lambda r: r.fork([7]), lambda r: r.relay(7)])
def test_what_is_no_target_is_refused(bench, wrong):
    request = bench.request(sip())
    with pytest.raises(TypeError):
        wrong(request)
    assert request._action is None


def test_arming_after_the_handlers_is_an_error(bench):
    request = bench.request(sip())
    request._close()
    for late in (lambda: request.relay(), lambda: request.fork([contact(bench)])):
        with pytest.raises(RuntimeError, match="have returned"):
            late()


def test_actions_are_values():
    one, other = Fork([TargetSpec("sip:a@h")]), Fork([TargetSpec("sip:a@h")])
    assert one == other and one != Fork([TargetSpec("sip:b@h")]) and one != Relay()
    assert repr(Relay("sip:x")) == (
        "Relay(next_hop='sip:x', flow=None, send_socket=None, via_override=None, on_reply=None, on_failure=None, "
        "timeout=None, address=None)"
    )
    with pytest.raises(TypeError):
        hash(one)


URIS = [
    *("sip:bob@example.com", "sip:bob@example.com:5070", "sip:example.com", "sip:", "sip:@h", "sip:a:b@h", "sip:a;b@h"),
    *("sip:;x@h", "sip::x@h", "sip:bob@h;lr;x=1?a=b", "sip:bob@h?a=b;c", "sip:bob@h?a=b@c", "sip:h?a@b", "sip:a?b@h"),
    *("sip:a@b@c", "sip:[::1]:5060", "sip:a@[::1]", "sip:h:", "sip:h:0x1", "sip:h:123456789012", "sip:h:1:2", "sip::5"),
    *("SIP:bob@h", "sips:bob@h", "tel:+1;x=y", "sip:bøb@h", "sip:h;", "sip:h;?", "sip:h;a;b=;c", "urn:x:y"),
    *("sip:bob@h:05060", "sip:bob@:5060", "sip:bob@h:٣", "sip:a@h;x=y@z"),
]
PARTS = ("_scheme", "_userinfo", "_user", "_host", "_port", "_headers", "_raw_params")


@pytest.mark.parametrize("text", URIS)
def test_the_parts_of_a_plain_uri_are_those_of_any(text):
    """A text that is not ASCII is taken apart by str methods: one letter more makes it so, and changes no more."""
    found, other = SipUri.of(text), SipUri.of(text + "é")
    UriFields._parts(found)
    UriFields._parts(other)
    if not other._headers:
        other = SipUri.of(text + ";é")
        UriFields._parts(other)
        assert other._raw_params.pop() == "é"
    shown, expected = ({name: getattr(uri, name) for name in PARTS} for uri in (found, other))
    assert shown == expected | {"_headers": expected["_headers"].removesuffix("é")}


def test_a_uri_of_from_is_given_again_only_while_nobody_can_tell(bench):
    request = bench.request(sip())
    held = request.from_uri
    assert request.from_uri is not held and request.from_uri == held
    held.user = "carol"
    assert request.from_uri.user == "alice"
    request.from_uri.user = "dave"
    request.to_uri.params["x"] = "1"
    assert (str(request.from_uri), str(request.to_uri)) == ("sip:alice@example.com", "sip:bob@example.com")
    parameters = request.from_uri.params
    assert parameters is not request.from_uri.params
    request.set_from_uri("sip:eve@h")
    assert str(request.from_uri) == "sip:eve@h"


@pytest.mark.parametrize("name", ["From", "f", "SUBJECT", "s", "Route", "X-None", "User-Agent", "Via", "x-folded"])
def test_a_header_is_the_same_either_way(bench, name):
    raw = sip("INVITE", "sip:bob@h", "Subject: a", "s: b", "User-Agent: p\xf8", "Route: <sip:r>", "X-Folded: a\r\n  b")
    request = bench.request(raw)
    for _ in range(2):  # the second time the name is known
        assert request.get_header(name) == request.header(name) == Headers._header_now(request, name)
        assert request.has_header(name) == Headers._has_header_now(request, name)
    assert name in text.HEADER_NAMES
    request.set_header(name, "new")
    assert request.get_header(name) == "new" and request.has_header(name)


@pytest.mark.parametrize(("name", "line"), [("user_agent", "User-Agent"), ("event", "o"), ("content_type", "c")])
def test_a_header_property_is_the_line(bench, name, line):
    assert getattr(bench.request(sip()), name) is None
    request = bench.request(sip("INVITE", "sip:bob@h", f"{line}:  a\r\n b"))
    assert getattr(request, name) == request.get_header(line) == "a b"
    request.set_header(line, "other")
    assert getattr(request, name) == "other"


def test_a_consumed_route_is_no_header_any_more(bench):
    from siphon.forwarding.own_routes import record_route_value

    ours = record_route_value(bench.identity.sent_by(bench.listener), b"call-1@192.0.2.7", bench.signer).decode()
    request = bench.request(sip("BYE", "sip:bob@192.0.2.9", f"Route: {ours}", to="<sip:b@h>;tag=b1"))
    assert request.get_header("Route") == ours
    assert request.loose_route() and request.loose_route()
    assert request.get_header("Route") is None and not request.has_header("Route")


@pytest.mark.parametrize("host", ["example.com", "EXAMPLE.com", "example.com.", "other.com", "[::1]"])
def test_whether_a_host_is_local_follows_the_identity(bench, tmp_path, host):
    for _ in range(2):
        request = bench.request(sip("INVITE", f"sip:bob@{host}"))
        assert request.ruri.is_local == bench.identity.is_local(host)
    identity = copy.copy(bench.identity)
    identity.domains = frozenset(("other.com",))
    bench.services.identity = identity
    assert request.ruri.is_local == identity.is_local(host)


def test_lookup_gives_the_bindings_in_their_order(tmp_path):
    bench = Bench(tmp_path, SCRIPT)
    for number, q in enumerate((0.3, 1.0, 0.3)):
        line = f"Contact: <sip:bob@192.0.2.{number}>;q={q}"
        bench.wall += 1
        assert (
            bench.route(
                sip("REGISTER", "sip:example.com", line, call_id=f"r{number}", branch=f"z9hG4bKr{number}")
            ).action.status
            == 200
        )
    targets = bench.route(sip("INVITE", "sip:bob@EXAMPLE.com;x=y")).action.targets
    assert [spec.uri for spec in targets] == ["sip:bob@192.0.2.1", "sip:bob@192.0.2.2", "sip:bob@192.0.2.0"]
    assert [spec.q for spec in targets] == [1.0, 0.3, 0.3]


@pytest.mark.parametrize(
    ("given", "error"),
    [(7, TypeError), (None, TypeError), ("sip:a\r\nb", ValueError), ("sip:a\0", ValueError), (b"sip:a@h", TypeError)],
)
def test_lookup_refuses_what_is_no_address_of_record(bench, given, error):
    from siphon import registrar

    with pytest.raises(error, match="address of record"):
        registrar.lookup(given)


def test_lookup_without_a_location_says_so(bench):
    from siphon import registrar

    bench.services.location = None
    with pytest.raises(RuntimeError, match="while it is loaded"):
        registrar.lookup("sip:bob@example.com")
