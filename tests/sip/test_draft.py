"""Edits of a message by lines, and edits as splices."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon.sip.draft import Draft
from siphon.sip.message import parse
from siphon.sip.splices import apply_splices, diff_splices, pack_splices, unpack_splices

RAW = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nk: a, B,\r\n c\r\n"
    b"X-One: 1\r\nSubject:  odd  \r\nx-two: 2\r\nContent-Length: 2\r\n\r\nhi"
)


def draft() -> Draft:
    return Draft(parse(RAW))


def edited(d: Draft) -> bytes:
    """The edited message, once it is known that its splices say the same."""
    result = d.to_bytes()
    assert d.changed and apply_splices(RAW, d.splices()) == result
    assert unpack_splices(pack_splices(d.splices())) == d.splices()
    assert apply_splices(RAW, diff_splices(RAW, result)) == result
    m = parse(result)
    assert m.content_length == len(m.body)
    return result


def test_unchanged_it_prints_back_byte_for_byte() -> None:
    assert draft().to_bytes() == RAW and draft().splices() == [] and not draft().changed


def test_set_replaces_all_lines_at_the_place_of_the_first() -> None:
    d = draft()
    d.set("VIA", "SIP/2.0/UDP new")
    old = b"Via: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\n"
    assert edited(d) == RAW.replace(old, b"VIA: SIP/2.0/UDP new\r\n") and d.get("v") == b"SIP/2.0/UDP new"


def test_set_appends_what_is_absent() -> None:
    d = draft()
    d.set("New", "x")
    assert edited(d) == RAW.replace(b"\r\n\r\n", b"\r\nNew: x\r\n\r\n")
    d.ensure("new", "other")
    assert d.get_all("NEW") == [b"x"]


def test_append_and_prepend_go_below_and_above_their_kind() -> None:
    d = draft()
    d.append("Via", "SIP/2.0/UDP low")
    d.prepend("Via", "SIP/2.0/UDP top")
    d.prepend("Record-Route", "<sip:p>")
    assert edited(d).split(b"\r\n")[1:6] == [
        b"Record-Route: <sip:p>",
        b"Via: SIP/2.0/UDP top",
        b"Via: SIP/2.0/UDP a",
        b"v: SIP/2.0/UDP b",
        b"Via: SIP/2.0/UDP low",
    ]


def test_remove_takes_every_form_of_the_name() -> None:
    d = draft()
    d.remove("subject")
    d.remove("absent")
    d.remove_prefix("X-")
    assert edited(d) == RAW.replace(b"X-One: 1\r\nSubject:  odd  \r\nx-two: 2\r\n", b"")
    assert not d.has("s") and not d.has("x-one")


def test_remove_from_a_list_ignores_case_and_drops_an_empty_header() -> None:
    d = draft()
    d.remove_from_list("Supported", "b")
    assert b"\r\nk: a, c\r\n" in edited(d)
    d.remove_from_list("Supported", "A")
    d.remove_from_list("k", "c")
    assert b"\r\nk:" not in edited(d) and d.values("supported") == []


def test_request_uri_start_line_and_one_line() -> None:
    d = draft()
    d.set_uri("sip:carol@example.com")
    d.replace_line(d.index("k"), "x")
    assert edited(d).startswith(b"INVITE sip:carol@example.com SIP/2.0\r\n") and d.get("supported") == b"x"
    assert b"\r\nk: x\r\nX-One" in edited(d)


@pytest.mark.parametrize("body", [b"", b"new body", b"h\0\r\n"])
def test_content_length_follows_the_body(body: bytes) -> None:
    d = draft()
    d.set_body(body, "text/plain")
    result = parse(edited(d))
    assert (result.body, result.content_length, result.first("c")) == (body, len(body), b"text/plain")


def test_prx_29_a_missing_or_removed_content_length_comes_back() -> None:
    d = Draft(parse(RAW.replace(b"Content-Length: 2\r\n", b"")))
    assert d.to_bytes() == RAW
    d = draft()
    d.set("l", "99")
    assert edited(d) == RAW
    d.remove("Content-Length")
    assert edited(d) == RAW


@pytest.mark.parametrize("evil", ["x\r\nEvil: 1", "x\n", "\r", "a\0b"])
def test_sec_07_no_edit_makes_a_second_header(evil: str) -> None:
    d = draft()
    for attempt in (d.set, d.ensure, d.append, d.prepend):
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            attempt("Subject2", evil)
        with pytest.raises(ValueError, match="CR, LF or NUL|not a header name"):
            attempt(f"S{evil}", "x")
    for change in (d.set_uri, d.set_start_line, lambda text: d.replace_line(0, text)):
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            change(evil)
    assert d.to_bytes() == RAW


@pytest.mark.parametrize("name", ["", "a b", "a:", "\u00e9"])
def test_a_header_name_must_be_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        draft().set(name, "x")


LINES = st.lists(st.sampled_from([b"a\n", b"b\r\n", b"\n", b"x", b"y\n", b"\r\n\r\n"]), max_size=12).map(b"".join)


@given(LINES, LINES)
@settings(max_examples=150, deadline=None)
def test_the_difference_of_two_messages_is_always_right(old: bytes, new: bytes) -> None:
    assert apply_splices(old, diff_splices(old, new)) == new
    assert (diff_splices(old, new) == []) == (old == new)


def test_the_difference_of_large_messages_takes_little_time() -> None:
    old = b"".join(b"%d\n" % i for i in range(20000))
    new = old.replace(b"7\n", b"8\n")
    assert apply_splices(old, diff_splices(old, new)) == new


@pytest.mark.parametrize("splices", [[(2, 1, b"")], [(0, 9, b"")], [(3, 4, b""), (1, 2, b"")], [(-1, 0, b"x")]])
def test_splices_out_of_order_or_outside_are_refused(splices: list[tuple[int, int, bytes]]) -> None:
    with pytest.raises(ValueError, match="out of order or outside"):
        apply_splices(b"abcde", splices)


def test_packed_splices_cut_short_are_refused() -> None:
    packed = pack_splices([(0, 1, b"abc"), (4, 4, b"")])
    assert unpack_splices(packed) == [(0, 1, b"abc"), (4, 4, b"")]
    for size in range(len(packed)):
        with pytest.raises(ValueError, match="cut short"):
            unpack_splices(packed[:size])


@pytest.mark.parametrize("line", range(parse(RAW).lines))
def test_a_draft_that_lacks_one_line_is_one_from_which_it_was_removed(line: int) -> None:
    message = parse(RAW)
    name = message.line(line)[0].decode()
    expected, lazy = Draft(message), Draft.lacking(message, line)
    expected.remove_line(line)
    for names in (frozenset(("subject", "via")), frozenset(("supported", "call-id", "x-one"))):
        assert Draft.lacking(message, line).only_lacks(names) == expected.only_lacks(names)
    assert lazy.changed and lazy.start_line == expected.start_line and lazy.body == expected.body
    assert lazy.get_all(name) == expected.get_all(name)
    assert lazy.lines() == expected.lines() and lazy.splices() == expected.splices()
    assert lazy.to_bytes() == expected.to_bytes()
