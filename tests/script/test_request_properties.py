"""What a request tells (section 6.1)."""

import pytest
from script_kit import Bench, sip

from siphon import Flow
from siphon.sip.identity import Listener


@pytest.fixture
def make(tmp_path):
    return Bench(tmp_path, "").request


def test_the_plain_properties(make):
    request = make(sip("SUBSCRIBE", "sip:bob@example.com", "User-Agent: phone/1", "Event: presence", cseq=7))
    assert (request.method, str(request.ruri)) == ("SUBSCRIBE", "sip:bob@example.com")
    assert (request.from_tag, request.to_tag, request.in_dialog) == ("a1", None, False)
    assert (request.call_id, request.cseq, request.max_forwards) == ("call-1@192.0.2.7", (7, "SUBSCRIBE"), 70)
    assert (request.user_agent, request.event, request.body) == ("phone/1", "presence", None)
    assert (request.source_ip, request.source_port, request.transport) == ("192.0.2.7", 5060, "udp")
    assert (request.auth_user, request.consumed_routes, request.consumed_route) == (None, [], None)


def test_absent_max_forwards_is_70(make):
    assert make(sip().replace(b"Max-Forwards: 70\r\n", b"")).max_forwards == 70


def test_a_request_with_both_tags_is_in_a_dialog(make):
    assert make(sip("BYE", to="<sip:bob@example.com>;tag=b1")).in_dialog


def test_body_and_content_type(make):
    request = make(sip("INVITE", "sip:b@h", "Content-Type: Application/SDP; x=1", body=b"v=0\r\n"))
    assert (request.body, request.content_type) == (b"v=0\r\n", "Application/SDP; x=1")
    assert request.has_body("application/sdp")
    assert not request.has_body("application/sd")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (("Contact: <sip:b@h>;expires=60", "Expires: 90"), 60),
        (("Contact: <sip:b@h;expires=5>, <sip:c@h>;expires=7", "Expires: 90"), 90),
        (("Expires: 90",), 90),
        (("Contact: <sip:b@h>",), None),
        (("Contact: <sip:b@h>;expires=soon",), None),
    ],
)
def test_contact_expires_is_that_of_the_first_contact_else_the_header(make, headers, seconds):
    assert make(sip("REGISTER", "sip:example.com", *headers)).contact_expires == seconds


def test_route_user_is_that_of_the_top_route(make):
    assert make(sip("INVITE", "sip:b@h", "Route: <sip:token@h;lr>, <sip:x@h>")).route_user == "token"
    assert make(sip("INVITE", "sip:b@h", "Route: <sip:h;lr>")).route_user is None
    assert make(sip()).route_user is None


def test_consumed_route_user_is_that_of_the_first_route_that_has_one(make):
    request = make(sip(), consumed_routes=["sip:h;lr", "sip:token@h;lr"])
    assert (str(request.consumed_route), request.consumed_route_user) == ("sip:h;lr", "token")


def test_the_flow_is_a_value_made_of_both_addresses(make):
    flow = make(sip()).flow
    assert (flow.transport, flow.remote_addr, flow.local_addr) == ("udp", "192.0.2.7:5060", "127.0.0.1:5060")
    assert flow.is_alive
    assert flow == make(sip(branch="z9hG4bKother")).flow
    assert len({flow, make(sip()).flow}) == 1
    assert isinstance(flow, Flow)


def test_v6_addresses_of_a_flow_stand_in_brackets(make):
    listener = Listener(0, "UDP", "::", 5060, wildcard=True)
    flow = make(sip(), source=("2001:db8::7", 5062), listener=listener, local_ip="2001:db8::1").flow
    assert (flow.remote_addr, flow.local_addr) == ("[2001:db8::7]:5062", "[2001:db8::1]:5060")


@pytest.mark.parametrize("networks", [None, 5, True, 3.5, object()])
def test_source_ip_in_says_what_it_takes(make, networks):
    with pytest.raises(TypeError, match="source_ip_in takes networks as a list of str, not "):
        make(sip()).source_ip_in(networks)


@pytest.mark.parametrize(
    ("networks", "inside"),
    [
        (["192.0.2.0/24"], True),
        (["192.0.2.7"], True),
        (["192.0.2.9/24"], True),
        (["2001:db8::/32", "10.0.0.0/8"], False),
        (["::ffff:192.0.2.0/120"], True),
        (["nonsense", "192.0.2.7"], True),
        ([], False),
    ],
)
def test_source_ip_in_takes_networks_and_addresses(make, networks, inside):
    assert make(sip()).source_ip_in(networks) is inside


def test_v6_mapped_a_mapped_source_counts_as_ipv4(make):
    assert make(sip(), source=("::ffff:192.0.2.7", 5060)).source_ip_in(["192.0.2.0/24"])


def test_an_unparsable_network_is_skipped_with_a_warning(tmp_path):
    bench = Bench(tmp_path, "")
    assert not bench.request(sip()).source_ip_in(["10.0.0.0/99"])
    assert "not a network" in bench.log.text


def test_from_gateway_without_gateways_is_false(make):
    assert make(sip()).from_gateway("trunks") is False


def test_bytes_that_are_not_utf_8_survive_reading_and_writing(make):
    request = make(sip("INVITE", "sip:b@h", "X-Odd: \udcff\udcfe"))
    request.set_header("X-Copy", request.get_header("X-Odd"))
    assert b"X-Copy: \xff\xfe\r\n" in request._draft.to_bytes()


def test_generate_icid_is_unique(make):
    request = make(sip())
    assert request.generate_icid() != request.generate_icid()
    assert request._draft is None
