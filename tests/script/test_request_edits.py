"""Headers, body, addresses and URIs (sections 6.2 and 6.3)."""

import pytest
from script_kit import Bench, sip

from siphon import SipUri

NAMED = '"Bob B." <sip:bob@example.com;x=1>;tag=b1;y=2'


@pytest.fixture
def make(tmp_path):
    return Bench(tmp_path, "").request


def lines(request):
    return request._draft.to_bytes().decode().split("\r\n")


def test_names_ignore_case_and_compact_forms_are_the_same_header(make):
    request = make(sip("INVITE", "sip:b@h", "s: hello", "x-a: 1"))
    assert (request.get_header("Subject"), request.header("SUBJECT"), request.get_header("X-A")) == (
        "hello",
        "hello",
        "1",
    )
    assert request.has_header("s")
    assert not request.has_header("X-B")


def test_get_header_is_the_first_line_not_split_at_commas(make):
    assert make(sip("INVITE", "sip:b@h", "X: a, b", "X: c")).get_header("X") == "a, b"


def test_set_header_replaces_all_lines_at_the_first_ones_place(make):
    request = make(sip("INVITE", "sip:b@h", "X: 1", "Y: 2", "X: 3"))
    request.set_header("x", "new")
    assert [line for line in lines(request) if line[:2] in ("x:", "X:", "Y:")] == ["x: new", "Y: 2"]


def test_set_header_appends_when_absent_and_ensure_keeps_what_is_there(make):
    request = make(sip("INVITE", "sip:b@h", "X: 1"))
    request.ensure_header("X", "2")
    request.ensure_header("Z", "3")
    assert (request.get_header("X"), request.get_header("Z")) == ("1", "3")


def test_remove_header_removes_all_lines_and_absent_is_fine(make):
    request = make(sip("INVITE", "sip:b@h", "X: 1", "X: 2"))
    request.remove_header("Absent")
    assert request._draft is None
    request.remove_header("x")
    assert not request.has_header("X")


def test_remove_headers_matching_is_a_prefix_not_a_pattern(make):
    request = make(sip("INVITE", "sip:b@h", "X-A: 1", "X-B: 2", "XA: 3"))
    request.remove_headers_matching("x-")
    assert [request.has_header(name) for name in ("X-A", "X-B", "XA")] == [False, False, True]
    request.remove_headers_matching(".*")
    assert request.has_header("XA")


def test_remove_from_header_list_takes_entries_out_and_the_header_when_empty(make):
    request = make(sip("INVITE", "sip:b@h", "Supported: path, 100REL, timer", "Require: 100rel"))
    request.remove_from_header_list("Supported", "100rel")
    request.remove_from_header_list("Require", "100rel")
    assert request.get_header("Supported") == "path, timer"
    assert not request.has_header("Require")


def test_set_body_fits_content_length_and_type(make):
    request = make(sip())
    request.set_body("hé", "text/plain")
    assert (request.body, request.content_type) == ("hé".encode(), "text/plain")
    assert request._draft.to_bytes().endswith("\r\n\r\nhé".encode())
    assert "Content-Length: 3" in lines(request)
    request.set_body(b"")
    assert request.body is None
    with pytest.raises(TypeError):
        request.set_body(5)


SETTERS = [
    lambda r, bad: r.set_header("X", bad),
    lambda r, bad: r.set_header(bad, "x"),
    lambda r, bad: r.ensure_header("X", bad),
    lambda r, bad: r.set_body(b"", bad),
    lambda r, bad: r.set_ruri(f"sip:{bad}@h"),
    lambda r, bad: r.set_ruri_user(bad),
    lambda r, bad: r.set_ruri_host(bad),
    lambda r, bad: r.set_from_uri(f"sip:{bad}@h"),
    lambda r, bad: r.set_to_uri(f"sip:{bad}@h"),
    lambda r, bad: r.set_from_display(bad),
    lambda r, bad: r.set_to_display(bad),
    lambda r, bad: r.set_contact_uri(f"sip:{bad}@h"),
    lambda r, bad: r.set_contact_user(bad),
    lambda r, bad: r.add_path(f"sip:{bad}@h"),
    lambda r, bad: r.prepend_route(f"sip:{bad}@h"),
    lambda r, bad: r.reply(200, bad),
    lambda r, bad: r.set_reply_header("X", bad),
    lambda r, bad: r.add_reply_header(bad, "x"),
    lambda r, bad: r.set_reply_body("x", bad),
    lambda r, bad: r.set_reply_to_tag(bad),
    lambda r, bad: r.relay(f"sip:{bad}@h"),
    lambda r, bad: r.relay(send_socket=f"udp:{bad}:5060"),
    lambda r, bad: r.fork([f"sip:{bad}@h"]),
    lambda r, bad: r.force_send_via("udp", bad),
    lambda r, bad: setattr(r, "auth_user", bad),
    lambda r, bad: r.ruri.params.update(x=bad),
]


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b", "a\r\nVia: x"])
@pytest.mark.parametrize("setter", SETTERS)
def test_sec_07_no_setter_takes_cr_lf_or_nul(make, setter, bad):
    request = make(sip("INVITE", "sip:b@h", "Contact: <sip:b@h>"))
    with pytest.raises(ValueError):
        setter(request, bad)
    assert request._action is None
    assert request._draft is None or not request._draft.changed


def test_set_ruri_takes_text_and_sipuri_and_refuses_the_rest(make):
    request = make(sip())
    request.set_ruri("sip:carol@example.net")
    assert str(request.ruri) == "sip:carol@example.net"
    request.ruri = SipUri("sip:dave@example.net")
    assert lines(request)[0] == "INVITE sip:dave@example.net SIP/2.0"
    for wrong in ("nonsense", "sip:a b@h"):
        with pytest.raises(ValueError):
            request.ruri = wrong
    assert str(request.ruri) == "sip:dave@example.net"


def test_set_ruri_user_and_host_leave_the_rest(make):
    request = make(sip("INVITE", "sip:bob@example.com:5070;x=1"))
    request.set_ruri_user("carol")
    request.set_ruri_host("[::1]")
    assert str(request.ruri) == "sip:carol@[::1]:5070;x=1"
    request.set_ruri_user(None)
    assert str(request.ruri) == "sip:[::1]:5070;x=1"


def test_set_to_uri_keeps_display_name_tag_and_parameters(make):
    request = make(sip("BYE", to=NAMED))
    request.set_to_uri("sip:carol@example.net")
    assert request.get_header("To") == '"Bob B." <sip:carol@example.net>;tag=b1;y=2'


def test_set_from_uri_brackets_what_needs_it(make):
    request = make(sip(sender="sip:alice@example.com;tag=a1"))
    request.set_from_uri("sip:carol@example.net;user=phone")
    assert request.get_header("From") == "<sip:carol@example.net;user=phone>;tag=a1"
    assert request.from_tag == "a1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Carol", "Carol <sip:bob@example.com;x=1>;tag=b1;y=2"),
        ("Carol C", "Carol C <sip:bob@example.com;x=1>;tag=b1;y=2"),
        ('C "x" \\', '"C \\"x\\" \\\\" <sip:bob@example.com;x=1>;tag=b1;y=2'),
        ("Größe", '"Größe" <sip:bob@example.com;x=1>;tag=b1;y=2'),
        ("", "<sip:bob@example.com;x=1>;tag=b1;y=2"),
    ],
)
def test_display_names_are_quoted_as_needed(make, name, value):
    request = make(sip("BYE", to=NAMED))
    request.set_to_display(name)
    assert request.get_header("To") == value


def test_a_display_name_brackets_a_bare_uri(make):
    request = make(sip(sender="sip:alice@example.com;tag=a1"))
    request.set_from_display("Alice")
    assert request.get_header("From") == "Alice <sip:alice@example.com>;tag=a1"


def test_contact_edits_change_the_first_contact_only(make):
    request = make(
        sip("REGISTER", "sip:example.com", "Contact: <sip:b@10.0.0.1:5090;ob>;q=0.5, <sip:c@h>", "Contact: <sip:d@h>")
    )
    request.set_contact_user("carol")
    request.add_contact_alias()
    request.fix_nated_contact()
    assert request.get_header("Contact") == "<sip:carol@192.0.2.7:5060;ob;alias>;q=0.5, <sip:c@h>"
    assert "Contact: <sip:d@h>" in lines(request)
    request.set_contact_user("")
    request.set_contact_uri("sip:x@y;z")
    assert request.get_header("Contact").startswith("<sip:x@y;z>;q=0.5, ")


@pytest.mark.parametrize("headers", [(), ("Contact: *",)])
def test_contact_edits_without_a_contact_do_nothing(make, headers):
    request = make(sip("REGISTER", "sip:example.com", *headers))
    request.set_contact_uri("sip:x@y")
    request.set_contact_user("x")
    request.add_contact_alias()
    request.fix_nated_contact()
    assert request._draft is None


def test_fix_nated_contact_writes_ipv6_in_brackets(make):
    request = make(sip("INVITE", "sip:b@h", "Contact: <sip:b@h>"), source=("2001:db8::7", 5062))
    request.fix_nated_contact()
    assert request.get_header("Contact") == "<sip:b@[2001:db8::7]:5062>"


@pytest.mark.parametrize("given", ["sip:edge@example.net", "<sip:edge@example.net>", "<sip:edge@example.net;lr>"])
def test_prepend_route_puts_lr_and_repeating_it_changes_nothing(make, given):
    request = make(sip("INVITE", "sip:b@h", "Route: <sip:first;lr>"))
    request.prepend_route(given)
    request.prepend_route(given)
    assert [line for line in lines(request) if line.startswith("Route")] == [
        "Route: <sip:edge@example.net;lr>",
        "Route: <sip:first;lr>",
    ]


def test_reg_23_add_path_puts_a_signed_value_naming_us_on_top(tmp_path):
    bench = Bench(tmp_path, "")
    request = bench.request(sip("REGISTER", "sip:example.com", "Path: <sip:other;lr>"))
    request.add_path("sip:token@127.0.0.1:5060")
    request.add_path("sip:token@127.0.0.1:5060")
    token = bench.signer.sign_path("token", "127.0.0.1", 5060).decode()
    paths = [line for line in lines(request) if line.startswith("Path")]
    assert paths == [f"Path: <sip:token@127.0.0.1:5060;lr;pts={token}>", "Path: <sip:other;lr>"]


def test_a_path_value_of_somebody_else_is_not_signed(make):
    request = make(sip("REGISTER", "sip:example.com"))
    request.add_path(SipUri("sip:edge.example.net"))
    assert request.get_header("Path") == "<sip:edge.example.net;lr>"


def test_unchanged_requests_make_no_draft(make):
    request = make(sip())
    request.get_header("From"), request.ruri.user, request.from_uri, request.has_body("x/y")
    assert request._draft is None
