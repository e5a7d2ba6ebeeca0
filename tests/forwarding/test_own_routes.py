"""Record-Route and Path values that we make."""

import pytest
from forwarding_messages import IDENTITY

from siphon.forwarding.own_routes import path_value, record_route_value, record_routes
from siphon.forwarding.signer import RouteSigner
from siphon.sip.uri import NameAddr, Uri

SIGNER = RouteSigner([b"secret"])


def test_prx_25_a_record_route_value_is_a_loose_sip_uri_without_transport():
    assert record_route_value("192.0.2.1:5060", b"call-1", None) == b"<sip:192.0.2.1:5060;lr>"


def test_prx_25_a_signed_value_has_a_token_that_verifies():
    uri = NameAddr.parse(record_route_value("[2001:db8::1]:5062", b"call-1", SIGNER)).uri
    token = dict(uri.params)["rrs"].encode()
    assert SIGNER.verify_record_route(token, b"call-1", uri.host, uri.port)


def test_another_transport_than_udp_is_named():
    assert record_route_value("192.0.2.1:5060", b"c", None, "TCP") == b"<sip:192.0.2.1:5060;lr;transport=tcp>"


def test_prx_27_different_sides_get_two_values_the_sending_one_on_top():
    sides = ("192.0.2.1:5060", "[2001:db8::1]:5060")
    values = record_routes(*sides, b"call-1", SIGNER)
    assert [NameAddr.parse(value).uri.host.strip("[]") for value in values] == ["2001:db8::1", "192.0.2.1"]
    assert len(record_routes(sides[0], sides[0], b"call-1", SIGNER)) == 1


def test_a_path_value_naming_us_is_signed():
    value = path_value(Uri.parse("sip:edge@192.0.2.1:5060"), IDENTITY, SIGNER)
    uri = NameAddr.parse(value).uri
    assert value.startswith(b"<sip:edge@192.0.2.1:5060;lr;pts=")
    assert SIGNER.verify_path(dict(uri.params)["pts"].encode(), "edge", "192.0.2.1", 5060)


@pytest.mark.parametrize(
    ("uri", "signer", "value"),
    [
        ("sip:203.0.113.5;lr", SIGNER, b"<sip:203.0.113.5;lr>"),
        ("sip:203.0.113.5", SIGNER, b"<sip:203.0.113.5;lr>"),
        ("sip:192.0.2.1", None, b"<sip:192.0.2.1;lr>"),
        ("sip:192.0.2.1;lr;pts=abc", SIGNER, b"<sip:192.0.2.1;lr;pts=abc>"),
    ],
)
def test_other_path_values_only_get_lr(uri, signer, value):
    assert path_value(Uri.parse(uri), IDENTITY, signer) == value
