"""Where a request goes next."""

import pytest
from forwarding_messages import IDENTITY

from siphon.forwarding.next_hop import (
    LOOP_DETECTED,
    UNREACHABLE,
    UNSUPPORTED_SCHEME,
    Hop,
    next_hop,
    refused_address,
    unrouted_in_dialog,
)

PEER = Hop("203.0.113.5", 0, "udp", False, ("203.0.113.5", 5060))


def hop(explicit=None, routes=(), uri=b"sip:bob@198.51.100.9"):
    return next_hop(explicit, routes, uri, IDENTITY)


def test_prx_20_the_first_route_is_followed_else_the_request_uri():
    assert hop(routes=[b"<sip:203.0.113.5;lr>", b"<sip:203.0.113.6;lr>"]) == PEER
    assert hop(uri=b"sip:bob@203.0.113.5") == PEER


@pytest.mark.parametrize(
    "explicit", [b"203.0.113.5:5060", b"sip:203.0.113.5:5060", b"<sip:x@203.0.113.5:5060;lr>", b"SIP:203.0.113.5:5060"]
)
def test_an_explicit_next_hop_is_a_uri_or_a_bare_address(explicit):
    assert hop(explicit, [b"<sip:203.0.113.9;lr>"]).numeric == ("203.0.113.5", 5060)


def test_an_ipv6_next_hop_stands_in_brackets():
    assert hop(b"[2001:db8::5]:5062").numeric == ("2001:db8::5", 5062)
    assert hop(b"2001:db8::5") == UNREACHABLE


@pytest.mark.parametrize(
    "text", ["203.0.113.5", "203.0.113.5;transport=udp", "[2001:db8::5]", "a.example;maddr=203.0.113.5"]
)
def test_dns_01_a_numeric_host_is_the_hop_and_5060_its_port(text):
    assert hop(uri=b"sip:bob@" + text.encode()).numeric in (("203.0.113.5", 5060), ("2001:db8::5", 5060))


def test_dns_01_dns_02_a_name_is_left_to_be_resolved_with_the_port_and_transport_named():
    assert hop(uri=b"sip:bob@sip.example.org:5070") == Hop("sip.example.org", 5070, "udp", False, None)
    assert hop(uri=b"sip:bob@sip.example.org;transport=udp") == Hop("sip.example.org", 0, "udp", True, None)
    assert hop(uri=b"sip:bob@sip.example.org") == Hop("sip.example.org", 0, "udp", False, None)
    assert hop(uri=b"sip:sip.example.org:5070;transport=UDP") == Hop("sip.example.org", 5070, "udp", True, None)


def test_prx_16_the_maddr_of_another_host_is_the_only_target():
    assert hop(uri=b"sip:bob@example.org:5070;maddr=203.0.113.5").numeric == ("203.0.113.5", 5070)


@pytest.mark.parametrize(
    "uri", [b"sip:bob@192.0.2.1", b"sip:192.0.2.1:5060", b"sip:bob@example.com", b"sip:bob@example.org;maddr=192.0.2.1"]
)
def test_a_hop_to_this_instance_is_a_loop(uri):
    assert hop(uri=uri) == LOOP_DETECTED
    assert hop(routes=[b"<" + uri + b">"]) == LOOP_DETECTED


def test_prx_18_another_port_of_our_host_is_another_server():
    assert hop(uri=b"sip:192.0.2.1:5099").numeric == ("192.0.2.1", 5099)


def test_prx_03_a_tel_uri_needs_something_to_follow():
    assert hop(uri=b"tel:+123") == UNSUPPORTED_SCHEME
    assert hop(uri=b"tel:+123", routes=[b"<sip:203.0.113.5;lr>"]) == PEER
    assert hop(b"sip:203.0.113.5", uri=b"TEL:+123") == PEER


def test_uri_08_sips_never_goes_over_udp():
    assert hop(uri=b"sips:bob@203.0.113.5") == UNSUPPORTED_SCHEME
    assert hop(b"sip:203.0.113.5", uri=b"SIPS:bob@203.0.113.5") == UNSUPPORTED_SCHEME
    assert hop(routes=[b"<sips:203.0.113.5;lr>"]) == UNSUPPORTED_SCHEME


@pytest.mark.parametrize(
    "uri", [b"sip:203.0.113.5;transport=tcp", b"sip:203.0.113.5;transport=tls", b"nonsense", b"sip:", b"", b"sip:a b"]
)
def test_a_target_that_cannot_be_started_is_a_failed_branch(uri):
    assert hop(uri=uri) == UNREACHABLE


def test_a_route_that_cannot_be_parsed_is_a_failed_branch():
    assert hop(routes=[b"<sip:203.0.113.5"]) == UNREACHABLE
    assert hop(routes=[b"<http://example.org>"]) == UNREACHABLE


@pytest.mark.parametrize(
    "place",
    [b"224.0.1.75", b"255.255.255.255", b"0.0.0.0", b"[ff02::1]", b"[::]", b"[::ffff:224.0.0.1]", b"203.0.113.5:0"],
)
def test_sec_06_nothing_is_sent_to_multicast_broadcast_unspecified_or_port_0(place):
    assert hop(uri=b"sip:" + place) == UNREACHABLE
    assert hop(place) == UNREACHABLE
    assert hop(routes=[b"<sip:" + place + b";lr>"]) == UNREACHABLE


def test_sec_06_refused_addresses_after_resolution():
    assert refused_address("239.1.1.1", 5060)
    assert refused_address("ff0e::1", 5060)
    assert refused_address("203.0.113.5", 0)
    assert refused_address("203.0.113.5", 65536)
    assert refused_address("not an address", 5060)
    assert not refused_address("203.0.113.5", 5060)
    assert not refused_address("127.0.0.1", 5060)
    assert not refused_address("2001:db8::5", 1)


def test_v6_mapped_a_mapped_address_is_the_ipv4_peer():
    assert hop(uri=b"sip:[::ffff:203.0.113.5]:5070").numeric == ("203.0.113.5", 5070)


# -- the guard on To-tagged requests -------------------------------------------------------------------------------

NOTHING = dict.fromkeys(("consumed", "dialog_known", "explicit", "routed", "uri_set", "uri_local"), False)


def test_a_forged_to_tag_opens_no_relay():
    assert unrouted_in_dialog(to_tag=True, **NOTHING)
    assert unrouted_in_dialog(to_tag=True, **{**NOTHING, "routed": True, "uri_set": True})
    assert unrouted_in_dialog(to_tag=True, **{**NOTHING, "routed": True, "uri_local": True})


@pytest.mark.parametrize("reason", ["consumed", "dialog_known", "explicit"])
def test_a_to_tag_that_something_vouches_for_passes(reason):
    assert not unrouted_in_dialog(to_tag=True, **{**NOTHING, "routed": True, reason: True})


@pytest.mark.parametrize("reason", ["uri_set", "uri_local"])
def test_a_request_uri_that_is_not_the_clients_passes(reason):
    assert not unrouted_in_dialog(to_tag=True, **{**NOTHING, reason: True})


def test_initial_requests_are_not_guarded():
    assert not unrouted_in_dialog(to_tag=False, **{**NOTHING, "routed": True})
