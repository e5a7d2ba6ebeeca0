"""Parsing rules of RFC 3261 §7, §8, §18, §20 by their checklist ids; whole messages are in test_corpus.py."""

import gc
import time

import pytest
from compiled_facts import compiled
from reference import reference

from siphon.sip.message import (
    BadResponse,
    NotSip,
    ParseLimits,
    PeerError,
    SipMessage,
    is_list,
    parse,
    split_list,
    stamp_source,
    strip_top_via,
)

HEADERS = {
    "Via": "SIP/2.0/UDP c.example.com;branch=z9hG4bKx",
    "Max-Forwards": "70",
    "From": "<sip:a@example.com>;tag=1",
    "To": "<sip:b@example.com>",
    "Call-ID": "one@c.example.com",
    "CSeq": "7 OPTIONS",
}


def raw(
    *more: str, start: str = "OPTIONS sip:b@example.com SIP/2.0", body: bytes = b"", **replaced: str | None
) -> bytes:
    fields = HEADERS | {key.replace("_", "-"): value for key, value in replaced.items()}
    lines = [start, *(f"{key}: {value}" for key, value in fields.items() if value is not None), *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


def message(*more: str, **fields: str | None) -> SipMessage:
    return parse(raw(*more, **fields))  # type: ignore[arg-type]


def verdict(data: bytes, limits: ParseLimits | None = None) -> int:
    with pytest.raises(PeerError) as raised:
        parse(data, limits)
    return raised.value.status


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        ("a", "Accept-Contact"),
        ("b", "Referred-By"),
        ("c", "Content-Type"),
        ("d", "Request-Disposition"),
        ("e", "Content-Encoding"),
        ("j", "Reject-Contact"),
        ("k", "Supported"),
        ("m", "Contact"),
        ("n", "Identity-Info"),
        ("o", "Event"),
        ("r", "Refer-To"),
        ("s", "Subject"),
        ("u", "Allow-Events"),
        ("x", "Session-Expires"),
        ("y", "Identity"),
    ],
)
def test_parse_01_compact_and_long_names_are_one_header(compact: str, name: str) -> None:
    m = message(f"{compact}: first", f"{name}: second", f"{compact.upper()}: third")
    assert m.all_lines(name) == m.all_lines(compact) == m.all_lines(name.upper()) == [b"first", b"second", b"third"]
    assert m.line(m.find(name))[0] == compact.encode()


def test_parse_01_the_mandatory_headers_in_compact_form() -> None:
    data = raw().replace(b"Via:", b"v:").replace(b"From:", b"F:").replace(b"To:", b"t:").replace(b"Call-ID:", b"i:")
    m = parse(data + b"")
    assert (m.call_id, m.from_tag, m.to_uri, m.via_count) == (b"one@c.example.com", b"1", b"sip:b@example.com", 1)


def test_parse_02_names_ignore_case_and_are_echoed_exactly() -> None:
    m = message("sUBJECT: Hi", From="<SIP:a@example.com>;TAG=AbC", Via="sip/2.0/udp C.example.com;BRANCH=Z9hG4bKx")
    assert (m.first("Subject"), m.from_tag, m.via.branch, m.via.transport) == (b"Hi", b"AbC", b"Z9hG4bKx", "UDP")
    assert m.line(m.find("subject"))[0] == b"sUBJECT" and m.via.has_cookie


def test_parse_02_methods_are_case_sensitive() -> None:
    assert message(start="options sip:b@example.com SIP/2.0", CSeq="7 options").method == "options"
    assert verdict(raw(CSeq="7 options")) == 400


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t", " \r\n  ", "\r\n \r\n ", "\t\r\n\t \r\n   "])
def test_parse_03_a_fold_counts_as_one_space(fold: str) -> None:
    m = message(f"Subject: one{fold}two", f"CSeq: 7{fold}OPTIONS", CSeq=None)
    assert (m.first("Subject"), m.cseq) == (b"one two", 7)


def test_parse_03_a_fold_behind_the_start_line_is_refused() -> None:
    assert verdict(raw(start="OPTIONS sip:b@example.com SIP/2.0\r\n folded: x")) == 400


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("<sip:a>, <sip:b>", [b"<sip:a>", b"<sip:b>"]),
        ('"a, b" <sip:c,d@e>;x="\\",", sip:f', [b'"a, b" <sip:c,d@e>;x="\\","', b"sip:f"]),
        (" , a ,, b , ", [b"a", b"b"]),
        ('"open, quote', [b'"open, quote']),
        ("<open, bracket", [b"<open, bracket"]),
        ("", []),
    ],
)
def test_parse_04_lists_split_at_commas_outside_quotes_and_brackets(value: str, parts: list[bytes]) -> None:
    assert message(f"Route: {value}").values("route") == parts == split_list(value.encode())


@pytest.mark.parametrize(
    "name", ["WWW-Authenticate", "Proxy-Authenticate", "Authorization", "Proxy-Authorization", "Date", "Subject", "s"]
)
def test_parse_04_headers_without_a_list_do_not_split(name: str) -> None:
    value = "Digest realm=a, nonce=b"
    assert message(f"{name}: {value}").values(name) == [value.encode()] and not is_list(name)


@pytest.mark.parametrize("name", ["From", "To", "Call_ID", "CSeq"])
def test_parse_05_a_missing_header_is_refused_with_an_answer(name: str) -> None:
    with pytest.raises(PeerError, match="400 Missing") as raised:
        message(**{name: None})
    assert raised.value.message is not None and raised.value.message.faulty


def test_parse_05_without_a_usable_via_only_the_source_can_be_answered() -> None:
    for via in (None, "nonsense", "SIP/2.0/UDP"):
        with pytest.raises(PeerError) as raised:
            message(Via=via)
        assert raised.value.message is None and raised.value.partial is not None


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call_ID", "CSeq"])
def test_parse_05_a_response_without_it_is_dropped(name: str) -> None:
    with pytest.raises(BadResponse):
        message(start="SIP/2.0 200 OK", **{name: None})


@pytest.mark.parametrize("number", [0, 1, 2**31 - 1, "0000000000000000000000012"])
def test_parse_06_cseq_up_to_31_bits(number: object) -> None:
    assert message(CSeq=f"{number} OPTIONS").cseq == int(str(number))


@pytest.mark.parametrize("number", [2**31, 2**32, 2**64, 2**64 + 5, "9" * 500, "-1", "+1", "1.5", ""])
def test_parse_06_cseq_beyond_is_refused(number: object) -> None:
    assert verdict(raw(CSeq=f"{number} OPTIONS")) == 400


@pytest.mark.parametrize("line", ["SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 20 x", "SIP/2.0 2000 x", "SIP/2.0 2x0 x"])
def test_parse_07_other_status_codes_are_dropped(line: str) -> None:
    with pytest.raises(BadResponse):
        message(start=line)


@pytest.mark.parametrize("reason", ["", "OK", " two  spaces ", "\u0440\u0430", "\udcff\udcfe", "200 OK"])
def test_parse_07_the_reason_phrase_is_kept_byte_for_byte(reason: str) -> None:
    m = message(start=f"SIP/2.0 200 {reason}")
    assert (m.status, m.reason) == (200, reason.encode("utf-8", "surrogateescape"))
    assert (m.is_request, m.method, m.uri) == (False, "OPTIONS", b"")


def test_parse_08_other_versions_get_505_whatever_else_is_wrong() -> None:
    for version in ("SIP/1.0", "SIP/7.0", "SIP/2.1", "SIP/20.0", "SIP/2.00"):
        assert verdict(raw(start=f"OPTIONS sip:b@x:0 {version}", CSeq="nonsense")) == 505


def test_parse_08_a_lower_case_version_leaves_in_upper_case() -> None:
    m = message(start="OPTIONS sip:b@example.com sip/2.0")
    assert m.raw.startswith(b"OPTIONS sip:b@example.com SIP/2.0\r\n")
    assert message(start="Sip/2.0 200 OK").raw.startswith(b"SIP/2.0 200 OK\r\n")


def test_parse_09_text_is_kept_byte_for_byte_where_nobody_looks() -> None:
    m = message("X: \udcff\udcfe", From='"J\u00fcrgen \u5927" <sip:a@example.com>;tag=1')
    assert m.first("X") == b"\xff\xfe" and "J\u00fcrgen \u5927".encode() in m.from_value


@pytest.mark.parametrize("bad", ["\udcff", "\udcc3", "\udced\udca0\udc80", "\udcf4\udc90\udc80\udc80", "\udcc0\udc80"])
def test_parse_09_invalid_utf8_in_addresses_is_refused(bad: str) -> None:
    assert verdict(raw(To=f'"{bad}" <sip:b@example.com>')) == 400
    assert verdict(raw(Via=f"SIP/2.0/UDP c;branch=z9hG4bK{bad}")) == 400
    assert verdict(raw(start=f"OPTIONS sip:{bad}@example.com SIP/2.0")) == 400


@pytest.mark.parametrize("octet", ["\0", "\r", "\\\\\0", "\r\r\n x"])
def test_parse_10_nul_and_bare_cr_in_headers_are_refused(octet: str) -> None:
    assert verdict(raw(f"Subject: a{octet}b")) == 400


def test_parse_10_nul_in_a_quoted_pair_and_anything_in_the_body_is_fine() -> None:
    body = b"\0\r\n\n\r\x00"
    m = parse(raw('X: "\\\0"', body=body))
    assert m.body == body and m.first("X") == b'"\\\0"'


def test_parse_10_lines_ending_in_bare_lf_are_refused() -> None:
    assert verdict(raw().replace(b"\r\n", b"\n")) == 400
    assert verdict(raw().replace(b"70\r\n", b"70\n")) == 400


def test_parse_11_white_space_around_separators_is_accepted() -> None:
    m = message(
        Via="SIP / 2.0 / UDP   c.example.com : 5070 ; branch = z9hG4bKx ; rport",
        To="  <sip:b@example.com>  ;  tag  =  2  ",
    )
    assert (m.via.port, m.via.branch, m.via.rport, m.to_tag) == (5070, b"z9hG4bKx", -1, b"2")
    assert parse(raw("Subject \t:x", "Empty:")).first("Empty") == b""


@pytest.mark.parametrize("line", ["no colon", ": no name", "two words: x", "ctl\x01: x", "(x): y"])
def test_parse_11_a_line_without_name_and_colon_is_refused(line: str) -> None:
    assert verdict(raw(line)) == 400


def test_parse_12_a_repeated_parameter_is_refused() -> None:
    assert verdict(raw(Via="SIP/2.0/UDP c;branch=z9hG4bKx;BRANCH=z9hG4bKy")) == 400
    assert verdict(raw("Via: SIP/2.0/UDP d;x;x")) == 400
    assert verdict(raw(To="<sip:b@c>;tag=1;Tag=2")) == 400
    assert verdict(raw(From="<sip:b@c>;tag=1;x;X=2")) == 400


@pytest.mark.parametrize("name", ["branch", "received", "rport", "maddr", "tag"])
def test_parse_12_what_we_read_is_not_repeated_behind_any_number_of_others(name: str) -> None:
    many = "".join(f";p{number}" for number in range(40))
    value = f"<sip:a@b>{many};tag=1" if name == "tag" else f"SIP/2.0/UDP c{many};{name}=1"
    header = "To" if name == "tag" else "Via"
    assert reference(data := raw(**{header: value}), ParseLimits()) == compiled(data)
    assert not message(**{header: value}).faulty
    assert verdict(data := raw(**{header: f"{value};{name.upper()}=2"})) == 400
    assert reference(data, ParseLimits()) == compiled(data)


@pytest.mark.parametrize("value", ["+5", "0x5", "five", "-1", "", "5 5", "5,5", "1e3", "99999999999999999999"])
def test_parse_13_content_length_is_digits(value: str) -> None:
    assert verdict(raw(f"Content-Length: {value}", body=b"12345")) == 400


def test_parse_13_content_length_repeated() -> None:
    assert parse(raw("Content-Length: 5", "l: 005", body=b"12345")).body == b"12345"
    assert verdict(raw("Content-Length: 5", "l: 4", body=b"12345")) == 400


def test_parse_14_limits_are_the_ones_given() -> None:
    assert verdict(raw(), ParseLimits(headers=5)) == 513
    assert verdict(raw(), ParseLimits(line_bytes=20)) == 513
    assert verdict(raw(), ParseLimits(header_bytes=100)) == 513
    assert verdict(raw("Via: SIP/2.0/UDP d"), ParseLimits(vias=1)) == 400
    assert parse(raw("Via: SIP/2.0/UDP d"), ParseLimits(headers=7, vias=2)).via_count == 2
    with pytest.raises(ValueError, match="1024"):
        ParseLimits(headers=1025)


def test_parse_14_thousands_of_headers_are_refused_with_an_answer() -> None:
    with pytest.raises(PeerError) as raised:
        parse(raw(*["Via: SIP/2.0/UDP d"] * 1500, *["a: b"] * 2000))
    assert raised.value.status == 513 and raised.value.message is not None
    assert strip_top_via(stamp_source(raised.value.message, "192.0.2.1", 5060)).count(b"Via") == 1500


def test_nat_07_octets_behind_content_length_are_cut() -> None:
    m = parse(raw("Content-Length: 3", body=b"abcdef"))
    assert m.body == b"abc" and m.raw.endswith(b"\r\n\r\nabc")
    assert parse(raw(body=b"abcdef")).body == b"abcdef"


def test_nat_08_content_length_beyond_the_datagram() -> None:
    assert verdict(raw("Content-Length: 7", body=b"abcdef")) == 400
    with pytest.raises(BadResponse):
        parse(raw("Content-Length: 7", start="SIP/2.0 200 OK", body=b"abcdef"))


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\x80" * 172]
)
def test_nat_10_what_is_not_sip_is_ignored(data: bytes) -> None:
    with pytest.raises(NotSip):
        parse(data)


def test_nat_10_crlfs_in_front_are_skipped() -> None:
    assert parse(b"\r\n\r\n" + raw()).raw == raw()


@pytest.mark.parametrize("value", ["ten", "-1", "", "1 2"])
def test_prx_06_max_forwards_that_is_no_number_is_refused(value: str) -> None:
    assert verdict(raw(Max_Forwards=value)) == 400


def test_prx_06_max_forwards_above_255_counts_as_absent() -> None:
    values = {"0": 0, "0070": 70, "255": 255, "256": -1, "99999999999999999999": -1}
    assert {text: message(Max_Forwards=text).max_forwards for text in values} == values


def test_txn_17_a_branch_of_a_kilobyte_is_not_cut() -> None:
    branch = "z9hG4bK" + "x" * 1024
    assert message(Via=f"SIP/2.0/UDP c;branch={branch}").via.branch == branch.encode()


def test_tor_badbranch_the_bare_cookie_is_no_cookie() -> None:
    assert not message(Via="SIP/2.0/UDP c;branch=z9hG4bK").via.has_cookie
    assert not message(Via="SIP/2.0/UDP c").via.has_cookie and message(Via="SIP/2.0/UDP c").via.branch == b""


@pytest.mark.parametrize(
    "line",
    [
        "Via: SIP/2.0/UDP d" + ";p=1" * 2000,
        "Via: " + ", ".join(f"SIP/2.0/UDP d;p{i}" for i in range(60)),
        "Subject: a" + "\r\n " * 1000 + "b",
        "Subject: a" + " " * 7000 + "\r\n b",
        "Route: " + ",".join(["<sip:a>"] * 1000),
        "Route: " + '"\\"' * 2000,
        "Route: " + "<" * 8000,
        "X: " + "\\" * 8000 + "\0",
    ],
)
def test_sec_11_time_is_linear_in_size(line: str) -> None:
    data = raw(line, From="<sip:a@example.com>" + "".join(f";p{i}=v" for i in range(1000)) + ";tag=1")
    start = time.process_time()
    for _ in range(10):
        try:
            m = parse(data, ParseLimits(vias=1000))
            m.values("Route"), m.first("Subject"), m.first("Via")
        except PeerError as error:
            assert error.status == 400
    assert (time.process_time() - start) / 10 < 0.005


def test_a_message_owns_its_bytes() -> None:
    data = bytearray(b"\r\n" + raw("Content-Length: 2", body=b"hi tail"))
    messages = [parse(bytes(data)) for _ in range(50)]
    vias = [stamp_source(m, "192.0.2.9", 5) for m in messages]
    data[:] = b"#" * len(data)
    del messages
    gc.collect()
    assert all(m.body == b"hi" and m.call_id == b"one@c.example.com" and m.via.received == b"192.0.2.9" for m in vias)
