"""What relay() may be talked into, and what `flow` and `send_socket` decide (API 7.1, 7.2, 7.5)."""

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

HEAD = "from siphon import Destination, Flow, SipUri, proxy\n\n@proxy.on_request\ndef route(request):\n"
TWO = {"listen": {"udp": ["127.0.0.1:5060", "127.0.0.1:5070"]}}
PHONE = "sip:x@127.0.0.2:5090"
NO_UDP = "a URI, a transport or an address that cannot be sent to by UDP"


def asked(world: World, uri: str = "sip:bob@example.com", to_tag: str = "") -> tuple[Agent, Agent]:
    """A caller has sent an INVITE; the phone at 127.0.0.2:5090."""
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", uri, call_id="c1", to_tag=to_tag, to="sip:bob@example.com"))
    return caller, phone


@pytest.mark.parametrize("next_hop", ["", "  ", "sip:", "no host !", "http://127.0.0.2"])
@pytest.mark.parametrize("to_tag", ["", "forged"])
def test_an_unparsable_next_hop_is_a_failed_branch_and_never_the_request_uri(
    make_world: Make, next_hop: str, to_tag: str
) -> None:
    caller, phone = asked(make_world(HEAD + f"    request.relay({next_hop!r})\n"), PHONE, to_tag)
    assert (caller.statuses, phone.inbox) == ([100, 500], [])


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("relay('sip:none.invalid')", [(b"sip:bob@example.com", 503, "none.invalid does not resolve")]),
        ("relay('sip:a@127.0.0.2;transport=tcp')", [(b"sip:bob@example.com", 503, NO_UDP)]),
        ("relay('sip:224.0.0.1')", [(b"sip:bob@example.com", 503, NO_UDP)]),
        ("relay('')", [(b"sip:bob@example.com", 503, "no URI, or a flow that is gone")]),
        ("relay('[2001:db8::1]:5060')", [(b"sip:bob@example.com", 503, "no listener can send there")]),
        ("relay('127.0.0.1:5060')", [(b"sip:bob@example.com", 482, "the target is this instance")]),
        ("fork(['tel:1', 'sip:x@127.0.0.2:5090'])", [(b"tel:1", 416, "the URI cannot be sent over UDP")]),
        ("relay('127.0.0.2:5090')", []),
    ],
)
def test_7_2_a_target_that_nothing_is_sent_to_is_told_in_the_log(
    make_world: Make, action: str, told: list[tuple[bytes, int, str]]
) -> None:
    world = make_world(HEAD + f"    request.{action}\n")
    asked(world)
    notes = [note for worker in world.workers for note in worker.notes]
    facts = [{"target": target, "status": status, "why": why} for target, status, why in told]
    assert [note for note in notes if note.startswith("target.")] == [f"target.not_tried {one}" for one in facts]


@pytest.mark.parametrize("given", ["'127.0.0.2:5090'", "'<sip:127.0.0.2:5090>'", "SipUri('sip:127.0.0.2:5090')"])
def test_a_next_hop_leaves_the_request_uri_alone(make_world: Make, given: str) -> None:
    _, phone = asked(make_world(HEAD + f"    request.relay({given})\n"))
    assert phone.last.uri == b"sip:bob@example.com"


@pytest.mark.parametrize(
    ("edit", "status"),
    [
        ("pass", 481),
        ("request.ruri.user = 'y'", 481),
        ("request.ruri.params['z'] = '1'", 481),
        ("request.set_ruri_user('y')", 481),
        ("request.set_ruri('sip:y@127.0.0.2:5090')", 100),
        ("request.ruri.host = '127.0.0.2'", 100),
        ("request.prepend_route('sip:127.0.0.2:5090')", 100),
    ],
)
def test_only_the_script_chooses_where_a_request_with_a_forged_to_tag_goes(
    make_world: Make, edit: str, status: int
) -> None:
    uri = PHONE if status == 481 else "sip:x@127.0.0.9:5090"
    caller, phone = asked(make_world(HEAD + f"    {edit}\n    request.relay()\n"), uri, "forged")
    assert caller.statuses[-1] == status and bool(phone.inbox) == (status == 100)


def test_the_maddr_of_a_client_does_not_open_the_relay_behind_a_local_host(make_world: Make) -> None:
    world = make_world(HEAD + "    request.relay()\n", domain={"local": ["example.com"]})
    caller, phone = asked(world, "sip:bob@example.com:5090;maddr=127.0.0.2", "forged")
    assert (caller.statuses, phone.inbox) == ([100, 481], [])


def test_a_received_route_behind_one_that_the_script_took_off_is_still_the_clients(make_world: Make) -> None:
    script = HEAD + "    request.remove_from_header_list('Route', '<sip:192.0.2.77;lr>')\n    request.relay()\n"
    world = make_world(script)
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    routes = "Route: <sip:192.0.2.77;lr>, <sip:127.0.0.2:5090;lr>"
    caller.send(caller.request("INVITE", "sip:bob@example.com", to_tag="forged", headers=routes))
    assert caller.last.status == 481 and not phone.inbox


def test_a_request_uri_that_on_request_set_serves_later_attempts_too(make_world: Make) -> None:
    script = (
        HEAD
        + f"    request.set_ruri({PHONE!r})\n    request.relay()\n\n"
        + "@proxy.on_failure\ndef failed(request, reply):\n    request.relay()\n"
    )
    caller, phone = asked(make_world(script), "sip:x@127.0.0.9", "forged")
    phone.answer(phone.last, 486)
    assert phone.requests == ["INVITE", "ACK", "INVITE"] and caller.statuses == [100]


@pytest.mark.parametrize("more", ["", ", send_socket='udp:127.0.0.1:5060'", ", next_hop='sip:192.0.2.99'"])
def test_a_flow_is_exactly_its_socket_and_its_peer(make_world: Make, more: str) -> None:
    flow = "Flow('udp', '127.0.0.2:5090', '127.0.0.1:5070')"
    world = make_world(HEAD + f"    request.record_route()\n    request.relay(flow={flow}{more})\n", **TWO)
    _, phone = asked(world)
    assert world.sent[-1].listener == 1 and phone.last.via.port == 5070
    assert b"127.0.0.1:5070" in phone.last.values("Record-Route")[0]


def test_the_flow_of_a_request_leads_back_over_the_socket_it_came_in_on(make_world: Make) -> None:
    world = make_world(HEAD + "    request.relay(flow=request.flow)\n", **TWO)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"), listener=1)
    assert caller.last.method == "MESSAGE" and world.sent[-1].listener == 1


@pytest.mark.parametrize(("transport", "local"), [("tcp", "127.0.0.1:5060"), ("udp", "127.0.0.1:5999")])
def test_a_flow_that_is_not_here_is_a_failed_branch(make_world: Make, transport: str, local: str) -> None:
    caller, phone = asked(
        make_world(HEAD + f"    request.relay(flow=Flow({transport!r}, '127.0.0.2:5090', {local!r}))\n")
    )
    assert (caller.statuses, phone.inbox) == ([100, 500], [])


@pytest.mark.parametrize(
    "given",
    [
        "",
        "'sip:127.0.0.2:5090'",
        "flow=Flow('udp', '127.0.0.2:5090', '127.0.0.1:5060')",
        "Destination('sip:gw.example.com', '127.0.0.2:5090')",
    ],
)
def test_sips_is_never_sent_over_udp_whatever_names_the_place(make_world: Make, given: str) -> None:
    caller, phone = asked(make_world(HEAD + f"    request.relay({given})\n"), "sips:bob@127.0.0.2:5090")
    assert (caller.statuses, phone.inbox) == ([100, 416], [])


@pytest.mark.parametrize(("given", "status"), [("", 416), ("'sip:127.0.0.2:5090'", 100)])
def test_a_tel_uri_goes_where_the_script_says_and_nowhere_else(make_world: Make, given: str, status: int) -> None:
    caller, phone = asked(make_world(HEAD + f"    request.relay({given})\n"), "tel:+15550100")
    assert caller.statuses[-1] == status and [m.uri for m in phone.inbox] == [b"tel:+15550100"] * (status == 100)


@pytest.mark.parametrize("call", ["relay('sip:x@127.0.0.2:5090', ", "fork(['sip:x@127.0.0.2:5090'], "])
def test_send_socket_sends_and_is_named_in_via_and_record_route(make_world: Make, call: str) -> None:
    script = HEAD + f"    request.record_route()\n    request.{call}send_socket='udp:127.0.0.1:5070')\n"
    world = make_world(script, **TWO)
    _, phone = asked(world)
    assert world.sent[-1].listener == 1 and phone.last.via.port == 5070
    assert [b"127.0.0.1:5070" in phone.last.values("Record-Route")[0], len(phone.last.values("Record-Route"))] == [
        True,
        2,
    ]


@pytest.mark.parametrize("place", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.2:0"])
def test_nothing_is_sent_to_an_address_that_is_nobodys(make_world: Make, place: str) -> None:
    world = make_world(HEAD + f"    request.relay('sip:{place}')\n")
    caller, _ = asked(world)
    assert caller.statuses == [100, 500] and all(send.to == ("192.0.2.1", 5060) for send in world.sent)


@pytest.mark.parametrize(("place", "status"), [("127.0.0.1", 482), ("127.0.0.1:5060", 482), ("nowhere.example", 500)])
def test_a_next_hop_that_is_us_or_unknown_reaches_on_failure(make_world: Make, place: str, status: int) -> None:
    script = (
        HEAD
        + f"    request.relay('sip:{place}')\n\n@proxy.on_failure\ndef failed(request, reply):\n"
        + "    reply.set_header('X-Seen', f'{reply.status_code} {reply.source_ip}')\n    reply.relay()\n"
    )
    caller, _ = asked(make_world(script))
    assert (caller.statuses, caller.last.first("X-Seen")) == (
        [100, status],
        b"482 None" if status == 482 else b"503 None",
    )


@pytest.mark.parametrize("given", ["'sip:a\\r\\nX: 1\\r\\n@h'", "'sip:a@h\\n'", "'sip:\\0@h'"])
@pytest.mark.parametrize(
    "call", ["fork([Destination({}, '127.0.0.2:5090')])", "relay(Destination({}, ''))", "fork([{}])"]
)
def test_sec_07_no_destination_brings_a_line_of_its_own(make_world: Make, call: str, given: str) -> None:
    caller, phone = asked(make_world(HEAD + f"    request.{call.format(given)}\n"))
    assert (caller.statuses, caller.last.reason, phone.inbox) == ([500], b"Script Error", [])


@pytest.mark.parametrize("call", ["fork([Destination('sip:gw', 'nonsense')])", "relay(Destination('sip:gw', 'h'))"])
def test_a_destination_whose_address_is_none_is_a_value_error(make_world: Make, call: str) -> None:
    caller, _ = asked(make_world(HEAD + f"    request.{call}\n"))
    assert (caller.statuses, caller.last.reason) == ([500], b"Script Error")


def test_a_destination_that_is_no_uri_is_a_failed_branch_beside_others(make_world: Make) -> None:
    targets = "Destination('rubbish', '127.0.0.2:5090'), Destination('sip:gw', '127.0.0.2:5090')"
    caller, phone = asked(make_world(HEAD + f"    request.fork([{targets}])\n"))
    assert [m.uri for m in phone.inbox] == [b"sip:gw"] and caller.statuses == [100]
    caller, _ = asked(make_world(HEAD + "    request.fork([Destination('rubbish', '127.0.0.2:5090')])\n"))
    assert caller.last.reason == b"No Valid Targets"


@pytest.mark.parametrize(
    "route",
    [
        "request.fork(['sip:a@127.0.0.2:5090;method=BYE;x=1?Subject=s&Route=%3Csip:h%3E'])",
        "request.set_ruri('sip:a@127.0.0.2:5090;method=BYE;x=1?Subject=s')\n    request.relay()",
        "request.ruri = SipUri('sip:a@127.0.0.2:5090;method=BYE;x=1?Subject=s')\n    request.relay()",
    ],
)
def test_prx_23_headers_and_method_of_a_target_are_taken_off_and_never_become_headers(
    make_world: Make, route: str
) -> None:
    _, phone = asked(make_world(HEAD + f"    {route}\n"))
    assert (phone.last.method, phone.last.uri) == ("INVITE", b"sip:a@127.0.0.2:5090;x=1")
    assert not phone.last.has("Subject") and not phone.last.has("Route")


@pytest.mark.parametrize("sent_by", ["proxy.example:65536", "proxy.example:0", "a b", "", "h:", "h:99999"])
def test_force_send_via_takes_a_host_and_a_port_only(make_world: Make, sent_by: str) -> None:
    script = HEAD + f"    request.force_send_via('udp', {sent_by!r})\n    request.relay('sip:127.0.0.2:5090')\n"
    caller, _ = asked(make_world(script))
    assert (caller.statuses, caller.last.reason) == ([500], b"Script Error")


def test_loose_route_has_the_same_result_in_later_handlers(make_world: Make) -> None:
    script = HEAD + (
        "    request.vars['first'] = [request.loose_route(), request.loose_route()]\n"
        "    request.relay('sip:127.0.0.2:5090')\n\n"
        "@proxy.on_failure\ndef failed(request, reply):\n"
        "    first = request.vars['first'] + [request.loose_route()]\n"
        "    reply.set_header('X-Seen', f'{first} {len(request.consumed_routes)}')\n    reply.relay()\n"
    )
    for route, result in (("sip:127.0.0.1:5060;lr", True), ("sip:192.0.2.77;lr", False)):
        world = make_world(script, proxy={"sign_record_route": False})
        caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
        caller.send(caller.request("BYE", "sip:bob@192.0.2.8", to_tag="t", headers=f"Route: <{route}>"))
        phone.answer(phone.last, 404)
        assert caller.last.first("X-Seen") == f"{[result] * 3} {int(result)}".encode()


def test_the_guard_of_unrouted_requests_may_be_switched_off(make_world: Make) -> None:
    world = make_world(HEAD + "    request.relay()\n", proxy={"unrouted_in_dialog": "relay"})
    caller, phone = asked(world, PHONE, "any")
    assert caller.statuses == [100] and phone.requests == ["INVITE"]


@pytest.mark.parametrize("call", ["relay()", "fork(['sip:x@127.0.0.2:5090'])", "relay('sip:127.0.0.2:5090')"])
def test_preset_routes_naming_us_are_taken_off_though_the_script_never_looks(make_world: Make, call: str) -> None:
    world = make_world(HEAD + f"    request.{call}\n")
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    routes = "Route: <sip:127.0.0.1;lr>, <sip:127.0.0.1:5060>"
    caller.send(caller.request("INVITE", PHONE, headers=routes))
    assert phone.requests == ["INVITE"] and not phone.last.has("Route")
    caller.send(caller.request("INVITE", "sip:x@192.0.2.88", headers=routes + "\nRoute: <sip:127.0.0.2:5090;lr>"))
    assert phone.requests == ["INVITE"] * 2 and phone.last.values("Route") == [b"<sip:127.0.0.2:5090;lr>"]


@pytest.mark.parametrize("call", ["fork(['sip:x@127.0.0.2:5090'])", "relay('sip:127.0.0.2:5090')"])
def test_a_foreign_route_stays_and_does_not_steer_where_the_script_names_the_place(make_world: Make, call: str) -> None:
    world = make_world(HEAD + f"    request.{call}\n")
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers="Route: <sip:192.0.2.77;lr>"))
    assert phone.last.all_lines("Route") == [b"<sip:192.0.2.77;lr>"]


def test_a_top_route_without_lr_becomes_the_request_uri(make_world: Make) -> None:
    world = make_world(HEAD + "    request.relay()\n")
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    routes = "Route: <sip:127.0.0.2:5090>, <sip:192.0.2.77;lr>"
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers=routes))
    assert phone.last.uri == b"sip:127.0.0.2:5090"
    assert phone.last.values("Route") == [b"<sip:192.0.2.77;lr>", b"<sip:bob@example.com>"]


REGISTERED = """
from siphon import proxy, registrar

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)

@proxy.on_request("INVITE")
def invite(request):
    request.fork(registrar.lookup("sip:bob@example.com"), "q")
"""


def test_a_binding_with_a_path_is_called_along_it_and_no_received_route_stays(make_world: Make) -> None:
    world = make_world(REGISTERED, domain={"local": ["example.com"]})
    phone, edge, caller = world.agent("192.0.2.50", 5060), world.agent("127.0.0.2", 5090), world.agent("192.0.2.1")
    path = "Path: <sip:127.0.0.2:5090;lr>\nPath: <sip:tok@192.0.2.99;lr>"
    phone.send(phone.request("REGISTER", "sip:example.com", headers=path, to="sip:bob@example.com"))
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers="Route: <sip:192.0.2.77;lr>"))
    assert phone.statuses == [200] and edge.last.uri == b"sip:192.0.2.50:5060"
    assert edge.last.values("Route") == [b"<sip:127.0.0.2:5090;lr>", b"<sip:tok@192.0.2.99;lr>"]


@pytest.mark.parametrize(("contact", "status"), [("tel:+15550100", 500), ("sips:bob@192.0.2.50", 416)])
def test_a_binding_that_udp_does_not_reach_is_a_failed_branch(make_world: Make, contact: str, status: int) -> None:
    world = make_world(REGISTERED, domain={"local": ["example.com"]})
    phone, caller = world.agent("192.0.2.50", 5070), world.agent("192.0.2.1")
    text = phone.request("REGISTER", "sip:example.com", to="sip:bob@example.com")
    phone.send(text.replace("<sip:192.0.2.50:5070>", f"<{contact}>"))
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert phone.statuses == [200] and caller.statuses == [100, status] and not phone.requests
