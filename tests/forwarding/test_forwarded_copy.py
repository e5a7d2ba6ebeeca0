"""The copy of a request for one branch."""

import pytest
from forwarding_messages import IDENTITY, VIA, request, spliced
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarding.copy import Outgoing, forward_copy, lowered, outgoing_routes, via_value
from siphon.sip.message import parse
from siphon.sip.splices import apply_splices

OUR_VIA = via_value("192.0.2.1:5060", b"z9hG4bKours")
URI = b"sip:bob@example.com"
FOREIGN, STRICT, PLAIN = b"<sip:203.0.113.5;lr>", b"<sip:203.0.113.6;x>", b"<sip:192.0.2.1;lr>"
IN_DIALOG = "<sip:bob@example.com>;tag=to1"


def copy(message, **values):
    values = {"uri": message.uri, "via": OUR_VIA, **values}
    return spliced(message, forward_copy(message, **values))


def test_prx_28_our_via_names_the_sending_socket_and_asks_for_rport():
    assert OUR_VIA == b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours;rport"


def test_prx_28_our_via_is_on_top_of_all_others():
    copied = copy(request(vias=[VIA, "SIP/2.0/UDP 203.0.113.9, SIP/2.0/UDP 203.0.113.8"]))
    assert copied.via.branch == b"z9hG4bKours"
    assert [value.split(b";")[0].split()[1] for value in copied.values("Via")] == [
        b"192.0.2.1:5060",
        b"198.51.100.7:5070",
        b"203.0.113.9",
        b"203.0.113.8",
    ]


def test_prx_24_and_20_all_other_lines_and_the_body_stay_byte_for_byte():
    odd = ["X-Odd:  two  spaces ", "s: folded\r\n  here", "X-Odd: again", "Date: nonsense"]
    message = request(headers=odd, body=b"v=0\r\n\0\xff")
    expected = message.raw.replace(b"Via: ", b"Via: " + OUR_VIA + b"\r\nVia: ", 1).replace(
        b"Max-Forwards: 70", b"Max-Forwards: 69"
    )
    assert apply_splices(message.raw, forward_copy(message, uri=message.uri, via=OUR_VIA)) == expected


@pytest.mark.parametrize(
    ("received", "sent"),
    [("70", 69), ("1", 0), ("00012", 11), ("255", 254), (None, 70), ("256", 70), ("9999999999", 70)],
)
def test_prx_05_and_06_max_forwards_is_lowered_or_made(received, sent):
    copied = copy(request(max_forwards=received))
    assert copied.max_forwards == sent
    assert len(copied.all_lines("Max-Forwards")) == 1


def test_max_forwards_never_grows_from_0():
    assert lowered(0) == 0


def test_prx_25_record_routes_go_above_those_already_present():
    copied = copy(request(headers=["Record-Route: <sip:203.0.113.1;lr>"]), record_routes=[b"<sip:a;lr>", b"<sip:b;lr>"])
    assert copied.values("Record-Route") == [b"<sip:a;lr>", b"<sip:b;lr>", b"<sip:203.0.113.1;lr>"]


def test_prx_25_record_routes_go_above_even_when_one_is_the_first_line():
    message = request()
    first = message.span(0)[0]
    moved = spliced(message, [(first, first, b"Record-Route: <sip:203.0.113.1;lr>\r\n")])
    assert copy(moved, record_routes=[b"<sip:a;lr>"]).values("Record-Route")[0] == b"<sip:a;lr>"


def test_prx_29_a_missing_content_length_is_added():
    assert copy(request(length=False, body=b"12345")).content_length == 5
    assert len(copy(request(body=b"12345")).all_lines("Content-Length")) == 1


def test_prx_20_the_request_uri_changes_only_when_the_target_does():
    assert copy(request(), uri=b"sip:bob@203.0.113.7;x").uri == b"sip:bob@203.0.113.7;x"
    assert copy(request()).uri == URI


def test_prx_13_max_breadth_is_set_or_added():
    assert copy(request(), max_breadth=60).all_lines("Max-Breadth") == [b"60"]
    assert copy(request(headers=["Max-Breadth: 70"]), max_breadth=5).all_lines("Max-Breadth") == [b"5"]
    assert copy(request(headers=["Max-Breadth: 70"])).all_lines("Max-Breadth") == [b"70"]


@pytest.mark.parametrize("empty", ["Max-Breadth:", "Max-Breadth: ", "max-breadth :\t", "Max-Breadth:\r\n "])
def test_prx_13_and_24_an_empty_max_breadth_is_filled_in_its_own_line(empty):
    copied = copy(request(headers=[empty, "X-Next: kept"]), max_breadth=5)
    assert copied.all_lines("Max-Breadth") == [b"5"]
    assert copied.all_lines("X-Next") == [b"kept"]


def test_a_new_route_set_replaces_the_old_one():
    message = request(headers=["Route: <sip:a;lr>, <sip:b;lr>", "X-Note: kept", "route: <sip:c;lr>"])
    copied = copy(message, route_set=[FOREIGN, PLAIN])
    assert copied.values("Route") == [FOREIGN, PLAIN]
    assert copied.first("X-Note") == b"kept"
    assert not copy(message, route_set=[]).has("Route")


def test_a_route_line_on_top_of_the_message_can_go_too():
    message = request()
    first = message.span(0)[0]
    moved = spliced(message, [(first, first, b"Route: <sip:a;lr>\r\n")])
    assert copy(moved, route_set=[FOREIGN], record_routes=[b"<sip:r;lr>"]).values("Route") == [FOREIGN]


LINES = [
    f"Via: {VIA}",
    "v: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK9, SIP/2.0/UDP 203.0.113.8",
    "From: <sip:alice@example.com>;tag=from1",
    "To: <sip:bob@example.com>",
    "i: call-1",
    "CSeq: 1 INVITE",
    "Max-Forwards:   7 ",
    "Record-Route: <sip:203.0.113.1;lr>",
    "Route: <sip:a;lr>,",
    "l: 3",
]
OPTIONAL = {"Max-Forwards:   7 ", "Record-Route: <sip:203.0.113.1;lr>", "Route: <sip:a;lr>,", "l: 3"}


@given(st.permutations(LINES), st.sets(st.sampled_from(sorted(OPTIONAL))), st.booleans())
def test_prx_24_whatever_the_order_of_the_lines_ours_are_on_top_and_the_others_unchanged(order, left_out, replaced):
    lines = [line for line in order if line not in left_out]
    message = parse("\r\n".join(["INVITE sip:bob@example.com SIP/2.0", *lines, "", "abc"]).encode())
    options = {"route_set": [FOREIGN]} if replaced else {}
    copied = copy(message, record_routes=[b"<sip:r;lr>"], **options)
    assert copied.values("Via") == [OUR_VIA, *message.values("Via")]
    assert copied.values("Record-Route") == [b"<sip:r;lr>", *message.values("Record-Route")]
    assert copied.values("Route") == ([FOREIGN] if replaced else message.values("Route"))
    assert (copied.max_forwards, copied.content_length, copied.body) == (lowered(message.max_forwards), 3, b"abc")
    assert copied.lines == message.lines + 2 + len(left_out & {"Max-Forwards:   7 ", "l: 3"}) + (
        replaced and "Route: <sip:a;lr>," in left_out
    )


def test_splices_are_sorted_and_do_not_overlap():
    message = request(headers=["Route: <sip:a;lr>", "Max-Breadth: 9"], length=False)
    splices = forward_copy(message, uri=b"sip:x", via=OUR_VIA, record_routes=[b"<sip:r>"], route_set=[], max_breadth=3)
    assert all(one[1] <= other[0] for one, other in zip(splices, splices[1:], strict=False))


def test_the_common_copy_costs_two_splices():
    assert len(forward_copy(request(), uri=URI, via=OUR_VIA, record_routes=[b"<sip:r;lr>"])) == 2


# -- routes of the copy --------------------------------------------------------------------------------------------


def outgoing(*routes, to=IN_DIALOG, **options):
    message = request(headers=[f"Route: {value.decode()}" for value in routes], to=to)
    return outgoing_routes(message, URI, IDENTITY, **options)


def test_without_routes_nothing_changes():
    assert outgoing() == Outgoing(URI, (), None)


def test_loose_routes_are_followed_as_they_are():
    assert outgoing(FOREIGN, STRICT) == Outgoing(URI, (FOREIGN, STRICT), None)


def test_routes_naming_us_leave_an_initial_request():
    assert outgoing(PLAIN, PLAIN, FOREIGN, PLAIN, to="<sip:b@example.com>") == Outgoing(
        URI, (FOREIGN, PLAIN), (FOREIGN, PLAIN)
    )
    assert outgoing(PLAIN, to="<sip:b@example.com>") == Outgoing(URI, (), ())


def test_routes_naming_us_stay_in_a_dialog():
    assert outgoing(PLAIN, FOREIGN) == Outgoing(URI, (PLAIN, FOREIGN), None)


def test_prx_19_a_strict_router_gets_its_uri_in_the_request_line():
    strict, rest = b"sip:203.0.113.6;x", (FOREIGN, b"<" + URI + b">")
    assert outgoing(STRICT, FOREIGN) == Outgoing(strict, rest, rest, next_hop=strict)


def test_prx_19_routes_that_do_not_steer_are_not_rewritten():
    assert outgoing(STRICT, FOREIGN, steered=False) == Outgoing(URI, (STRICT, FOREIGN), None)


def test_a_path_replaces_the_route_set():
    assert outgoing(STRICT, path=[FOREIGN, PLAIN]) == Outgoing(URI, (FOREIGN, PLAIN), (FOREIGN, PLAIN))


def test_prx_19_a_path_may_begin_with_a_strict_router():
    strict, rest = b"sip:203.0.113.6;x", (FOREIGN, b"<" + URI + b">")
    assert outgoing(path=[STRICT, FOREIGN]) == Outgoing(strict, rest, rest, next_hop=strict)


def test_a_route_that_cannot_be_parsed_is_left_for_the_next_hop_to_refuse():
    assert outgoing(b"<broken") == Outgoing(URI, (b"<broken",), None)
