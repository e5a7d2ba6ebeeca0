"""Which addresses are ours."""

import pytest

from siphon.sip.hosts import bracketed, canonical_host
from siphon.sip.identity import Identity, Listener

PLAIN = Listener(0, "udp", "192.0.2.1", 5060)
SIX = Listener(1, "udp", "2001:db8::1", 5070)
WILD = Listener(2, "udp", "0.0.0.0", 5080, wildcard=True)
SHOWN = Listener(3, "udp", "10.0.0.1", 5090, advertise="edge.example.net:5099")


def test_prx_18_listeners_are_ours_by_host_and_port() -> None:
    us = Identity([PLAIN, SIX])
    assert us.names_us("192.0.2.1", None) and us.names_us(b"192.0.2.1", 5060) and us.names_us("[2001:DB8:0::1]", 5070)
    assert not us.names_us("192.0.2.1", 5070) and not us.names_us("192.0.2.2", 5060)
    assert not us.names_us("2001:db8::1", None) and not us.names_us("192.0.2.1", None, default_port=5061)


def test_v6_mapped_addresses_count_as_ipv4() -> None:
    assert Identity([PLAIN]).names_us("[::ffff:192.0.2.1]", 5060)


def test_a_domain_counts_with_a_port_of_ours_or_none() -> None:
    us = Identity([PLAIN], domains=["Example.com"])
    assert us.names_us("EXAMPLE.com.", None) and us.names_us("example.com", 5060)
    assert not us.names_us("example.com", 5061) and us.is_local(b"example.COM") and not us.is_local("192.0.2.1")


def test_nat_06_a_wildcard_listener_shows_the_address_really_used() -> None:
    us = Identity([WILD], local_ips=["10.9.8.7", "fe80::1"])
    assert us.sent_by(WILD, "10.9.8.7") == "10.9.8.7:5080" and us.names_us("10.9.8.7", 5080)
    assert not us.names_us("0.0.0.0", 5080) and not us.names_us("fe80::1", 5080)
    for missing in (None, "0.0.0.0", "::"):
        with pytest.raises(ValueError, match="wildcard"):
            us.sent_by(WILD, missing)


def test_what_is_advertised_is_shown_and_ours() -> None:
    us = Identity([PLAIN, SHOWN], advertised_address="public.example.net")
    assert us.sent_by(SHOWN) == "edge.example.net:5099" and us.sent_by(PLAIN) == "public.example.net:5060"
    assert us.names_us("edge.example.net", 5099) and us.names_us("public.example.net", None)
    assert us.is_our_sent_by(b"EDGE.example.net", 5099) and us.is_our_sent_by("10.0.0.1", 5090)


def test_prx_27_the_name_of_all_listeners_is_that_of_the_one_that_has_no_other() -> None:
    inner = Listener(1, "udp", "10.0.0.2", 5090)
    us = Identity([SHOWN, inner], "public.example.net")
    assert us.listener_at("edge.example.net", 5099) == SHOWN.index
    assert us.listener_at("public.example.net", 5090) == inner.index
    assert us.listener_at("10.0.0.1", 5090) == SHOWN.index and us.listener_at("10.0.0.2", 5090) == inner.index


def test_prx_41_only_our_own_sent_by_is_ours() -> None:
    us = Identity([PLAIN, SIX], domains=["example.com"])
    assert us.is_our_sent_by("192.0.2.1", 0) and us.is_our_sent_by("[2001:db8::1]", 5070)
    assert not us.is_our_sent_by("192.0.2.1", 5070) and not us.is_our_sent_by("example.com", 5060)
    assert us.sent_by(SIX) == "[2001:db8::1]:5070"


@pytest.mark.parametrize(
    ("host", "canonical"),
    [("Example.COM.", "example.com"), ("[::1]", "::1"), ("0:0::1", "::1"), ("[::ffff:1.2.3.4]", "1.2.3.4")]
    + [("1.2.3.4", "1.2.3.4"), ("[fe80::1%eth0]", "[fe80::1%eth0]"), ("a_b", "a_b")],
)
def test_hosts_have_one_form_to_compare(host: str, canonical: str) -> None:
    assert canonical_host(host) == canonical and canonical_host(canonical) == canonical
    assert bracketed("::1") == "[::1]" == bracketed("[::1]") and bracketed("a") == "a"


def test_a_listener_past_the_last_is_the_first_of_the_peers_family() -> None:
    addresses = ("2001:db8::1", "192.0.2.1", "192.0.2.2")
    identity = Identity([Listener(index, "udp", ip, 5060) for index, ip in enumerate(addresses)])
    assert [identity.listener(index, "192.0.2.9").ip for index in (0, 1, 2, 3)] == [*addresses, "192.0.2.1"]
    assert identity.listener(3, "2001:db8::9").ip == "2001:db8::1"
    assert Identity([Listener(0, "udp", "192.0.2.1", 5060)]).listener(1, "2001:db8::9").ip == "192.0.2.1"


def test_a_wildcard_whose_address_is_not_known_has_no_name() -> None:
    wildcard = Listener(0, "udp", "0.0.0.0", 5060, wildcard=True)  # noqa: S104
    identity = Identity([wildcard])
    assert identity.known_by(wildcard, "") == "" and identity.known_by(wildcard, "192.0.2.1") == "192.0.2.1:5060"
    assert Identity([wildcard], advertised_address="sip.example.com").known_by(wildcard, "") == "sip.example.com:5060"
