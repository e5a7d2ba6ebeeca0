"""relay(), fork(), loose_route() and what they arm (sections 6.5 and 7)."""

import pytest
from script_kit import Bench, sip

from siphon import Destination, Flow, SipUri
from siphon.script.outcome import Answer, FlowSpec, Fork, Relay, ViaOverride
from siphon.sip.message import parse
from siphon.sip.splices import apply_splices

ROUTE = "from siphon import proxy, SipUri, Destination, Flow\n{}\n@proxy.on_request\ndef route(request):\n    {}\n"
CALLBACKS = """
import functools
def f(request, reply): reply.relay()
async def g(request, code, reason): ...
h = lambda request, reply: None
class C:
    def m(self, request, reply): ...
    @staticmethod
    def s(request, reply): ...
p = functools.partial(f)
@functools.wraps(f)
def wrapped(request, reply): ...
"""


def run(tmp_path, code, raw=None, top="", **facts):
    return Bench(tmp_path, ROUTE.format(top, code.replace("\n", "\n    "))).route(raw or sip(), **facts)


def test_relay_without_arguments_follows_route_and_request_uri(tmp_path):
    assert run(tmp_path, "request.relay()").action == Relay()


@pytest.mark.parametrize(
    ("given", "next_hop", "address"),
    [
        ("'sip:next@192.0.2.1:5070'", "sip:next@192.0.2.1:5070", None),
        ("'192.0.2.1:5070'", "192.0.2.1:5070", None),
        ("SipUri('sip:next.example.net')", "sip:next.example.net", None),
        ("Destination('sip:gw', '192.0.2.1:5080')", "sip:gw", "192.0.2.1:5080"),
    ],
)
def test_relay_takes_text_sipuri_and_destination(tmp_path, given, next_hop, address):
    action = run(tmp_path, f"request.relay({given})").action
    assert (action.next_hop, action.address) == (next_hop, address)


def test_relay_over_a_flow(tmp_path):
    action = run(tmp_path, "request.relay(flow=request.flow)").action
    assert action.flow == FlowSpec("udp", "192.0.2.7:5060", "127.0.0.1:5060", action.flow.connection_id)


@pytest.mark.parametrize(
    "code", ["request.relay(5)", "request.relay(flow='udp')", "request.fork('sip:a@b')", "request.fork([5])"]
)
def test_other_types_are_type_errors(tmp_path, code):
    assert isinstance(run(tmp_path, code).error, TypeError)


@pytest.mark.parametrize("socket", ["udp:127.0.0.1:5060", "UDP:127.0.0.1:5070"])
def test_send_socket_names_a_listener(tmp_path, socket):
    assert run(tmp_path, f"request.relay(send_socket={socket!r})").action.send_socket == socket


@pytest.mark.parametrize(
    "socket",
    ["", "udp", "udp:127.0.0.1", "foo:127.0.0.1:5060", "udp:127.0.0.1:99999", "udp:::1:5060", "udp:127.0.0.1:x"]
    + ["udp:host:5060", "udp:300.1.1.1:5060", "udp:[127.0.0.1]:5060", "udp:127.0.0.1:0"],
)
def test_a_malformed_send_socket_is_a_value_error(tmp_path, socket):
    assert isinstance(run(tmp_path, f"request.relay(send_socket={socket!r})").error, ValueError)


def test_a_send_socket_that_is_no_listener_of_ours_is_the_normal_choice_with_a_warning(tmp_path):
    b = Bench(tmp_path, ROUTE.format("", "request.fork(['sip:a@b'], send_socket='udp:[::1]:5060')"))
    assert b.route(sip()).action.send_socket is None
    assert "udp:[::1]:5060 is none of our listeners" in b.log.text


@pytest.mark.parametrize("timeout", ["0", "-1", "'5'", "True", "float('nan')", "float('inf')"])
@pytest.mark.parametrize("call", ["relay(", "fork(['sip:a@b'], "])
def test_a_timeout_is_a_positive_number(tmp_path, call, timeout):
    assert isinstance(run(tmp_path, f"request.{call}timeout={timeout})").error, ValueError)


def test_force_send_via_is_for_relay_without_flow_and_in_any_order(tmp_path):
    via = ViaOverride("udp", "edge.example.net:5070")
    assert (
        run(tmp_path, "request.relay()\nrequest.force_send_via('UDP', 'edge.example.net:5070')").action.via_override
        == via
    )
    code = "request.force_send_via('udp', 'h')\nrequest.relay(flow=request.flow)"
    assert run(tmp_path, code).action.via_override is None
    for wrong in ("'carrier-pigeon', 'h'", "'udp', 'h:p'", "'udp', 'a b'"):
        assert isinstance(run(tmp_path, f"request.force_send_via({wrong})").error, ValueError)


# -- callbacks


def test_callbacks_are_stored_by_module_and_name(tmp_path):
    action = run(tmp_path, "request.relay(on_reply=f, on_failure=g)", top=CALLBACKS).action
    assert (action.on_reply, action.on_failure) == ("siphon_user_script:f", "siphon_user_script:g")
    action = run(tmp_path, "request.fork(['sip:a@b'], on_reply=C.s, on_failure=g)", top=CALLBACKS).action
    assert (action.on_reply, action.on_failure) == ("siphon_user_script:C.s", "siphon_user_script:g")


@pytest.mark.parametrize(
    "given", ["h", "C().m", "p", "wrapped", "lambda request, reply: None", "C()", "print", "5", "'f'"]
)
def test_a_callback_that_its_name_does_not_lead_back_to_is_a_value_error(tmp_path, given):
    outcome = run(tmp_path, f"request.relay(on_reply={given})", top=CALLBACKS)
    assert isinstance(outcome.error, ValueError)
    assert "request.vars" in str(outcome.error)


def test_a_closure_is_a_value_error(tmp_path):
    code = "def inner(request, reply): reply.relay()\nrequest.fork(['sip:a@b'], on_reply=inner)"
    assert isinstance(run(tmp_path, code).error, ValueError)


def test_a_callback_may_live_in_an_imported_module(tmp_path):
    (tmp_path / "callbacks.py").write_text("def f(request, reply): reply.relay()\n")
    action = run(tmp_path, "request.relay(on_reply=callbacks.f)", top="import callbacks").action
    assert action.on_reply == "callbacks:f"


# -- fork


def test_fork_takes_text_sipuri_and_destination_in_any_mix(tmp_path):
    targets = "'<sip:a@h>', SipUri('sip:b@h'), Destination('sip:c@h', '192.0.2.1:5080')"
    action = run(tmp_path, f"request.fork([{targets}], 'sequential', timeout=5)").action
    assert [(target.uri, target.address) for target in action.targets] == [
        ("sip:a@h", None),
        ("sip:b@h", None),
        ("sip:c@h", "192.0.2.1:5080"),
    ]
    assert (action.strategy, action.timeout) == ("sequential", 5.0)


def test_an_unknown_strategy_is_parallel_with_a_warning(tmp_path):
    bench = Bench(tmp_path, ROUTE.format("", "request.fork(['sip:a@b'], 'random')"))
    assert bench.route(sip()).action.strategy == "parallel"
    assert "unknown strategy 'random'" in bench.log.text


@pytest.mark.parametrize(("targets", "reason"), [("[]", "No Targets"), ("['nonsense', 'sip:']", "No Valid Targets")])
def test_a_fork_without_usable_targets_is_500_with_a_line_in_the_log(tmp_path, targets, reason):
    bench = Bench(tmp_path, ROUTE.format("", f"request.fork({targets})"))
    assert bench.route(sip()).action == Answer(500, reason)
    assert f"fork: {reason.lower()}: 500" in bench.log.text


@pytest.mark.parametrize(("targets", "kind"), [("None", "NoneType"), ("'sip:a@b'", "str"), ("5060", "int")])
def test_a_fork_to_what_is_no_list_says_what_it_was_given(tmp_path, targets, kind):
    bench = Bench(tmp_path, ROUTE.format("", f"request.fork({targets})"))
    assert bench.route(sip()).error is not None
    assert f"targets is a list of targets, not {kind}" in bench.log.text


def test_one_unparsable_target_among_others_is_a_failed_branch(tmp_path):
    action = run(tmp_path, "request.fork(['nonsense', 'sip:a@b'])").action
    assert isinstance(action, Fork)
    assert [target.valid for target in action.targets] == [False, True]


def test_prx_25_record_route_is_sticky_and_ignored_for_register(tmp_path):
    assert run(tmp_path, "request.record_route()\nrequest.relay()").record_route
    assert not run(tmp_path, "request.record_route()\nrequest.relay()", sip("REGISTER", "sip:example.com")).record_route
    assert run(tmp_path, "request.relay()", record_route=True).record_route


# -- loose_route


def routed(bench, *routes, to="<sip:bob@example.com>;tag=b1", uri="sip:bob@192.0.2.9"):
    return bench.request(sip("BYE", uri, *(f"Route: {route}" for route in routes), to=to))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, "")


def ours(bench, port=5060):
    token = bench.signer.sign_record_route(b"call-1@192.0.2.7", "127.0.0.1", port).decode()
    return f"<sip:127.0.0.1:{port};lr;rrs={token}>"


def test_prx_17_both_own_routes_go_in_one_pass_and_a_foreign_one_stays(bench):
    request = routed(bench, ours(bench), f"{ours(bench, 5070)}, <sip:other;lr>")
    assert request.loose_route()
    assert request.consumed_routes == [ours(bench)[1:-1], ours(bench, 5070)[1:-1]]
    assert request.get_header("Route") == "<sip:other;lr>"
    assert request.loose_route()
    assert request.get_header("Route") == "<sip:other;lr>"


@pytest.mark.parametrize("routes", [(), ("<sip:other;lr>",), ("<sip:127.0.0.1:5060;lr;rrs=00>",)])
def test_without_a_route_of_ours_loose_route_is_false_and_changes_nothing(bench, routes):
    request = routed(bench, *routes)
    assert not request.loose_route()
    assert request._splices() == []


def test_an_unsigned_preset_route_is_removed_from_a_request_without_to_tag(tmp_path):
    outcome = run(
        tmp_path,
        "assert not request.loose_route()\nrequest.relay()",
        sip("INVITE", "sip:b@h", "Route: <sip:127.0.0.1:5060;lr>"),
    )
    assert outcome.route_unsigned
    assert (outcome.consumed_routes, b"Route" in outcome.message) == ([], False)


def test_without_signing_naming_us_is_enough(tmp_path):
    request = routed(Bench(tmp_path, "", signing=False), "<sip:127.0.0.1:5060;lr>")
    assert request.loose_route()


def test_prx_15_a_strict_router_before_us_gets_its_last_route_as_request_uri(bench):
    request = routed(bench, "<sip:other;lr>, <sip:bob@192.0.2.9;x=1>", uri=ours(bench)[1:-1])
    before = request.ruri
    assert request.loose_route()
    assert (str(request.ruri), request.get_header("Route")) == ("sip:bob@192.0.2.9;x=1", "<sip:other;lr>")
    assert str(before) != str(request.ruri)


def test_routes_that_the_script_put_on_top_are_seen(bench):
    request = routed(bench, ours(bench))
    request.prepend_route("sip:other")
    assert not request.loose_route()


def test_edits_after_loose_route_see_the_routes_that_are_left(bench):
    request = routed(bench, f"{ours(bench)}, <sip:next;lr>", "<sip:last;lr>", uri="sip:bob@192.0.2.9")
    assert request.loose_route()
    plain = apply_splices(request._message.raw, request._splices())
    assert plain.count(b"\r\nRoute: ") == 2
    request.set_header("X", "1")
    assert request._edit().get_all("Route") == [b"<sip:next;lr>", b"<sip:last;lr>"]
    assert request.route_user is None
    edited = apply_splices(request._message.raw, request._splices())
    assert parse(edited).values("Route") == parse(plain).values("Route")
    assert parse(edited).first("X") == b"1"


def test_the_strict_router_case_reaches_the_outcome(tmp_path):
    b = Bench(tmp_path, ROUTE.format("", "assert request.loose_route()\n    request.relay()"))
    raw = sip("BYE", ours(b)[1:-1], "Route: <sip:bob@192.0.2.9;x=1>", to="<sip:b@h>;tag=b1")
    outcome = b.route(raw)
    assert outcome.message.startswith(b"BYE sip:bob@192.0.2.9;x=1 SIP/2.0\r\n")
    assert (b"Route:" in outcome.message, outcome.edited, outcome.uri_set) == (False, True, False)


def test_values_that_scripts_build(bench):
    assert str(Destination("sip:gw;transport=tcp", "192.0.2.1:5060")) == "sip:gw;transport=tcp"
    assert not Destination("sip:gw", "", healthy=False)
    assert Flow("udp", "a:1", "b:2") == Flow("udp", "a:1", "b:2")
    assert isinstance(SipUri("sip:h"), SipUri)
