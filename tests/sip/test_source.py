"""`received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4), and the top Via on the way back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon.sip.message import PeerError, SipMessage, parse, stamp_source, strip_top_via

REQUEST = (
    "OPTIONS sip:b@example.com SIP/2.0\r\nTo: <sip:b@example.com>\r\n{via}From: <sip:a@x>;tag=1\r\n"
    "Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 2\r\n\r\nhi"
)
RESPONSE = (
    "SIP/2.0 200 OK\r\n{via}To: <sip:b@example.com>;tag=2\r\nFrom: <sip:a@x>;tag=1\r\n"
    "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n{length}\r\nhi"
)
FIELDS = [
    "raw",
    "method",
    "uri",
    "from_tag",
    "to_tag",
    "from_uri",
    "to_uri",
    "from_value",
    "to_value",
    "call_id",
    "cseq",
    "cseq_method",
    "max_forwards",
    "content_length",
    "body",
    "body_start",
    "via_count",
]


def request(via: str) -> SipMessage:
    return parse(REQUEST.format(via=f"Via: {via}\r\n").encode())


def stamped(via: str, ip: str = "192.0.2.7", port: int = 40000, force: bool = False) -> str:
    m = stamp_source(request(via), ip, port, force)
    again = parse(m.raw)
    assert all(getattr(m, field) == getattr(again, field) for field in FIELDS)
    assert [(m.line(i), m.span(i)) for i in range(m.lines)] == [(again.line(i), again.span(i)) for i in range(m.lines)]
    assert (m.via.received, m.via.rport, m.via.branch) == (again.via.received, again.via.rport, again.via.branch)
    return m.first("Via").decode()  # type: ignore[union-attr]


def test_nat_01_another_host_gets_received() -> None:
    assert stamped("SIP/2.0/UDP c.example.com;branch=z9hG4bKx") == (
        "SIP/2.0/UDP c.example.com;branch=z9hG4bKx;received=192.0.2.7"
    )
    assert stamped("SIP/2.0/UDP 192.0.2.8:5062") == "SIP/2.0/UDP 192.0.2.8:5062;received=192.0.2.7"


@pytest.mark.parametrize(
    ("via", "ip"),
    [
        ("SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKx", "192.0.2.7"),
        ("SIP/2.0/UDP 192.0.2.7", "::ffff:192.0.2.7"),
        ("SIP/2.0/UDP [2001:db8:0::1]:5062", "2001:db8::1"),
        ("SIP/2.0/UDP [::FFFF:192.0.2.7]", "192.0.2.7"),
    ],
)
def test_nat_01_the_same_address_gets_nothing(via: str, ip: str) -> None:
    m = request(via)
    assert stamp_source(m, ip, 9) is m


def test_nat_02_rport_is_filled_and_received_always_added() -> None:
    assert stamped("SIP/2.0/UDP 192.0.2.7;rport;branch=z9hG4bKx") == (
        "SIP/2.0/UDP 192.0.2.7;rport=40000;branch=z9hG4bKx;received=192.0.2.7"
    )


def test_nat_02_force_rport_treats_every_client_as_asking() -> None:
    assert stamped("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx", force=True) == (
        "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx;received=192.0.2.7;rport=40000"
    )


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("h;rport=1;received=6.6.6.6;b", "h;rport=40000;received=192.0.2.7;b"),
        ("h;received=6.6.6.6 ; RPORT = 1;b", "h;received=192.0.2.7 ; rport=40000;b"),
        ("192.0.2.7;received=6.6.6.6", "192.0.2.7;received=192.0.2.7"),
    ],
)
def test_sec_05_values_sent_by_the_client_are_overwritten(via: str, expected: str) -> None:
    assert stamped(f"SIP/2.0/UDP {via}") == f"SIP/2.0/UDP {expected}"


def test_sec_05_lower_vias_are_kept() -> None:
    lower = "SIP/2.0/UDP low.example.com;received=6.6.6.6;rport=1"
    assert stamped(f"SIP/2.0/UDP h;rport ,{lower}") == f"SIP/2.0/UDP h;rport=40000;received=192.0.2.7 ,{lower}"


def test_nat_11_received_has_no_brackets() -> None:
    assert stamped("SIP/2.0/UDP h", "2001:db8::1") == "SIP/2.0/UDP h;received=2001:db8::1"
    assert request("SIP/2.0/UDP h;received=[2001:db8::1]").via.received == b"2001:db8::1"


def test_v6_mapped_a_mapped_source_is_the_ipv4_peer() -> None:
    assert stamped("SIP/2.0/UDP h", "::ffff:192.0.2.7") == "SIP/2.0/UDP h;received=192.0.2.7"


def test_a_request_refused_for_its_rport_is_stamped_all_the_same() -> None:
    with pytest.raises(PeerError) as raised:
        request("SIP/2.0/UDP h;received=1.1.1.1;rport=70000;branch=b")
    assert raised.value.message is not None
    m = stamp_source(raised.value.message, "192.0.2.7", 40000, True)
    assert m.first("Via") == b"SIP/2.0/UDP h;received=192.0.2.7;rport=40000;rport=70000;branch=b"


def test_a_response_is_not_stamped() -> None:
    m = parse(RESPONSE.format(via="Via: SIP/2.0/UDP h;rport\r\n", length="").encode())
    assert stamp_source(m, "192.0.2.7", 1) is m


PARTS = st.sampled_from(
    [";rport", ";rport=5", ";received=1.1.1.1", ";branch=z9hG4bKq", ";x=y", " ; ttl = 4", ";maddr=h"]
)


@given(
    st.sampled_from(["h", "192.0.2.7", "[::1]:6000", "h :5070"]),
    st.lists(PARTS, max_size=5, unique_by=lambda part: part.strip(" ;").partition("=")[0].strip()),
    st.sampled_from(["", ", SIP/2.0/UDP low;rport", "\r\nVia: SIP/2.0/UDP low"]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_stamped_message_is_what_parsing_it_again_gives(host: str, parts: list[str], more: str, force: bool) -> None:
    value = stamped(f"SIP/2.0/UDP {host}{''.join(parts)}{more}", force=force)
    assert value.startswith(f"SIP/2.0/UDP {host}")


@pytest.mark.parametrize(
    ("via", "rest"),
    [
        ("Via: SIP/2.0/UDP us;branch=1\r\nVia: SIP/2.0/UDP a\r\n", "Via: SIP/2.0/UDP a\r\n"),
        ("v: SIP/2.0/UDP us;branch=1 ,  SIP/2.0/UDP a\r\n", "v: SIP/2.0/UDP a\r\n"),
        ("Via: SIP/2.0/UDP us ,\r\n SIP/2.0/UDP a, SIP/2.0/UDP b\r\n", "Via: SIP/2.0/UDP a, SIP/2.0/UDP b\r\n"),
        ("Via: SIP/2.0/UDP us\r\n", ""),
    ],
)
def test_prx_42_only_the_top_via_value_is_removed(via: str, rest: str) -> None:
    m = parse(RESPONSE.format(via=via, length="Content-Length: 2\r\n").encode())
    assert strip_top_via(m).decode() == RESPONSE.format(via=rest, length="Content-Length: 2\r\n")


def test_prx_29_a_missing_content_length_is_added_on_the_way_back() -> None:
    m = parse(RESPONSE.format(via="Via: SIP/2.0/UDP us, SIP/2.0/UDP a\r\n", length="").encode())
    stripped = parse(strip_top_via(m))
    assert (stripped.content_length, stripped.body, stripped.via.host) == (2, b"hi", b"a")
