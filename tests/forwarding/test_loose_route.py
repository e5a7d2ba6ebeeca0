"""Routes that a request brings: which are ours, what is consumed."""

import pytest
from forwarding_messages import IDENTITY, request

from siphon.forwarding.own_routes import path_value, record_route_value
from siphon.forwarding.routes import (
    NOT_ROUTED,
    LooseRoute,
    RouteFacts,
    RouteSigner,
    loose_route,
    own_routes,
    strip_own_maddr,
)
from siphon.sip.draft import Draft
from siphon.sip.identity import Identity, Listener
from siphon.sip.message import parse
from siphon.sip.uri import Uri

SIGNER = RouteSigner([b"secret"])
OURS = record_route_value("192.0.2.1:5060", b"call-1", SIGNER).decode()
OUR_URI = OURS.strip("<>")
PLAIN = "<sip:192.0.2.1;lr>"
FOREIGN = "<sip:203.0.113.5;lr>"
PATH = path_value(Uri.parse("sip:edge@192.0.2.1"), IDENTITY, SIGNER).decode()
IN_DIALOG = "<sip:bob@example.com>;tag=to1"
INITIAL = "<sip:bob@example.com>"


def route(*values, to=IN_DIALOG, signer=SIGNER, uri="sip:bob@198.51.100.9", **facts):
    message = request("BYE", uri, [f"Route: {value}" for value in values], to=to, **facts)
    return loose_route(RouteFacts.of(message), IDENTITY, signer)


def test_without_a_route_nothing_is_accepted():
    assert route() == NOT_ROUTED
    assert route(signer=None) == NOT_ROUTED


def test_a_foreign_route_is_left_alone():
    assert route(FOREIGN, OURS) == NOT_ROUTED


def test_prx_17_our_route_is_consumed_and_what_follows_stays():
    assert route(OURS, FOREIGN, OURS) == LooseRoute(True, (OUR_URI,), routes=(FOREIGN.encode(), OURS.encode()))


def test_prx_17_both_values_of_a_double_record_route_go_in_one_pass():
    for values in ((OURS, OURS, FOREIGN), (f"{OURS}, {OURS}", FOREIGN)):
        assert route(*values) == LooseRoute(True, (OUR_URI, OUR_URI), routes=(FOREIGN.encode(),))


def test_a_token_of_another_call_opens_nothing():
    result = route(OURS, call_id="call-2")
    assert result == LooseRoute(False, unsigned=True)


@pytest.mark.parametrize("value", [PLAIN, "<sip:192.0.2.1;lr;rrs=00000000000000000000>", "<sip:192.0.2.1;lr;rrs>"])
def test_an_unsigned_route_in_a_dialog_stays_and_is_counted(value):
    assert route(value, FOREIGN) == LooseRoute(False, unsigned=True)


def test_an_unsigned_preset_route_is_removed_from_an_initial_request():
    assert route(PLAIN, FOREIGN, to=INITIAL) == LooseRoute(False, routes=(FOREIGN.encode(),), unsigned=True)
    assert route(PLAIN, PLAIN, to=INITIAL) == LooseRoute(False, routes=(), unsigned=True)


def test_with_signing_off_naming_us_is_enough():
    assert route(PLAIN, FOREIGN, signer=None) == LooseRoute(True, ("sip:192.0.2.1;lr",), routes=(FOREIGN.encode(),))


def test_an_unsigned_value_behind_a_signed_one_stays():
    assert route(OURS, PLAIN).routes == (PLAIN.encode(),)


def test_a_path_token_counts_without_a_to_tag_only():
    assert route(PATH, to=INITIAL).accepted
    assert route(PATH) == LooseRoute(False, unsigned=True)


def test_a_path_token_is_bound_to_its_user():
    assert not route(PATH.replace("edge@", "other@"), to=INITIAL).accepted


def test_prx_18_our_host_with_another_port_is_not_ours():
    assert route("<sip:192.0.2.1:5099;lr>") == NOT_ROUTED
    assert route(PLAIN.replace("192.0.2.1", "192.0.2.1:5060"), signer=None).accepted


def test_a_local_domain_names_us_without_a_port():
    assert route("<sip:example.com;lr>", signer=None).accepted
    assert not route("<sip:example.com:5099;lr>", signer=None).accepted


@pytest.mark.parametrize("value", ["<tel:+123;lr>", "sip:192.0.2.1;lr", "<>"])
def test_a_route_that_is_no_route_opens_nothing(value):
    assert not route(value).accepted


def test_prx_15_a_request_uri_of_ours_gives_way_to_the_last_route():
    last = "<sip:bob@203.0.113.8;x=1>"
    result = route(FOREIGN, last, uri=OUR_URI)
    assert result == LooseRoute(True, (OUR_URI,), uri=b"sip:bob@203.0.113.8;x=1", routes=(FOREIGN.encode(),))


def test_prx_15_our_route_below_the_strict_routers_uri_is_consumed_too():
    result = route(OURS, "<sip:bob@203.0.113.8>", uri=OUR_URI)
    assert result == LooseRoute(True, (OUR_URI, OUR_URI), uri=b"sip:bob@203.0.113.8", routes=())


def test_prx_15_only_a_record_route_value_of_ours_counts_as_request_uri():
    for uri in ("sip:192.0.2.1;lr", "sip:bob@192.0.2.1", PATH.strip("<>"), OUR_URI.replace("rrs=", "rrs=0")):
        assert route("<sip:bob@203.0.113.8>", uri=uri, to=INITIAL) == NOT_ROUTED
    assert route("<sip:bob@203.0.113.8>", uri="sip:192.0.2.1;lr", signer=None).uri == b"sip:bob@203.0.113.8"


def test_prx_23_the_last_route_loses_its_headers_when_it_becomes_the_request_uri():
    assert route("<sip:bob@203.0.113.8;method=BYE?Subject=s>", uri=OUR_URI).uri == b"sip:bob@203.0.113.8"


def test_prx_15_a_request_uri_of_ours_without_a_route_is_left_alone():
    assert route(uri=OUR_URI) == NOT_ROUTED


def test_the_outcome_is_written_into_a_draft_and_the_rest_stays():
    message = request(
        "BYE", OUR_URI, [f"Route: {FOREIGN}", "X-Note: kept", "Route: <sip:bob@203.0.113.8>"], to=IN_DIALOG
    )
    draft = Draft(message)
    loose_route(RouteFacts.of(message), IDENTITY, SIGNER).apply(draft)
    edited = parse(draft.to_bytes())
    assert (edited.uri, edited.values("Route")) == (b"sip:bob@203.0.113.8", [FOREIGN.encode()])
    assert edited.first("X-Note") == b"kept"


def test_nothing_is_edited_when_nothing_was_consumed():
    message = request("BYE", headers=[f"Route: {FOREIGN}"], to=IN_DIALOG)
    draft = Draft(message)
    loose_route(RouteFacts.of(message), IDENTITY, SIGNER).apply(draft)
    assert draft.to_bytes() == message.raw


def test_prx_17_own_routes_are_counted_with_and_without_a_token():
    values = [value.encode() for value in (PLAIN, OURS, FOREIGN, PLAIN)]
    assert own_routes(values, IDENTITY) == 2
    assert own_routes(values[2:], IDENTITY) == 0
    assert own_routes([], IDENTITY) == 0


# -- maddr ---------------------------------------------------------------------------------------------------------


def test_prx_16_our_own_maddr_goes_with_the_port_and_transport_beside_it():
    uri = Uri.parse("sip:bob@example.com:5060;a=b;maddr=192.0.2.1;transport=UDP;c")
    assert strip_own_maddr(uri, 5060, IDENTITY) == b"sip:bob@example.com;a=b;c"


@pytest.mark.parametrize(
    "uri",
    [
        "sip:bob@example.com",
        "sip:bob@example.com;maddr=203.0.113.5",
        "sip:bob@example.com;maddr=192.0.2.1;transport=tcp",
        "sip:bob@example.com:5099;maddr=192.0.2.1",
        "tel:+123",
    ],
)
def test_prx_16_any_other_uri_stays(uri):
    assert strip_own_maddr(Uri.parse(uri), 5060, IDENTITY) is None


def test_prx_16_a_maddr_that_leads_to_another_socket_of_ours_stays():
    identity = Identity([Listener(0, "udp", "192.0.2.1", 5060), Listener(1, "udp", "192.0.2.1", 5070)])
    uri = Uri.parse("sip:bob@example.com:5070;maddr=192.0.2.1")
    assert strip_own_maddr(uri, 5060, identity) is None
    assert strip_own_maddr(uri, 5070, identity) == b"sip:bob@example.com"
