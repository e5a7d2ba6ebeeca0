"""URIs and addresses: printing, equality, address of record, by checklist ids."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon.sip.uri import NameAddr, Uri, address_of_record, same_uri

WRITTEN = [
    "sip:alice@example.com",
    "SIP:%61lice;x=y:pw@[2001:DB8::1]:05060;transport=UDP;lr?a=b&c",
    "sips:1212@gateway.example.com:5061",
    "sip:example.com",
    "sip:host_a.example.com.;lr;x=",
    "sip:user;par=u%40example.net@example.com",
    "sip:a?b/c&d=e+f$g,h@example.com?subject=x",
    "sip:J%c3%bcrgen@example.com",
    "tel:+1-201-555-0123;phone-context=example.com;ext=7",
    "tel:7042",
    "urn:service:sos",
    "http://www.example.com/x?y",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_uri_prints_back_as_it_was_written(text: str) -> None:
    assert str(Uri.parse(text)) == text and Uri.parse(text.encode()).to_bytes() == text.encode()
    assert str(Uri.parse(text).copy()) == text and Uri.parse(text) == Uri.parse(text)


def test_the_parts_of_a_uri() -> None:
    uri = Uri.parse("sips:bob;day=1:pw@EXAMPLE.com:5070;lr;Transport=tcp?Subject=x")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sips", "bob;day=1", "pw", "EXAMPLE.com", 5070)
    assert uri.params == [("lr", None), ("Transport", "tcp")] and uri.headers == "Subject=x"
    assert (uri.param("transport"), uri.param("LR"), uri.param("maddr")) == ("tcp", "", None)


def test_an_assigned_part_is_printed() -> None:
    uri = Uri.parse("sip:bob@example.com:5060")
    uri.user, uri.host, uri.port = "carol", "[::1]", 5070
    uri.params.append(("lr", None))
    assert str(uri) == "sip:carol@[::1]:5070;lr"
    uri.user = uri.port = None
    assert str(uri) == "sip:[::1];lr" and str(Uri(user="a", host="b")) == "sip:a@b"


@pytest.mark.parametrize("text", ["sip:a\r\nX: y@b", "sip:a\0@b", "sip:a b@c", "sip:a@b\r\n"])
def test_sec_07_line_ends_and_nul_never_get_into_a_uri(text: str) -> None:
    with pytest.raises(ValueError, match="not a URI"):
        Uri.parse(text)
    uri = Uri.parse("sip:a@b")
    uri.user = "x\r\ny"
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        str(uri)
    assert str(Uri.parse("sip:a%0d%0aX@b")) == "sip:a%0d%0aX@b"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("sip:%61lice@example.com;transport=TCP", "sip:alice@ExaMPLe.cOm;Transport=tcp"),
        ("sip:carol@example.com", "sip:carol@example.com;newparam=5"),
        ("sip:carol@example.com;security=on", "sip:carol@example.com;newparam=5"),
        (
            "sip:example.com;transport=tcp;method=REGISTER?to=sip:bob%40example.com",
            "sip:example.com;method=REGISTER;transport=tcp?to=sip:bob%40example.com",
        ),
        ("sip:a@example.com?subject=x&priority=y", "sip:a@example.com?priority=y&subject=x"),
        ("SIP:a@example.com", "sip:a@example.com."),
        ("sip:a@[::1]", "sip:a@[0:0::1]"),
        ("sip:a%3B@example.com", "sip:a%3b@example.com"),
    ],
)
def test_uri_01_equal_uris(a: str, b: str) -> None:
    assert same_uri(a, b) and same_uri(b, a) and same_uri(Uri.parse(a), b.encode())


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("sip:ALICE@example.com", "sip:alice@example.com"),
        ("sip:bob@example.com", "sip:bob@example.com:5060"),
        ("sip:bob@example.com", "sip:bob@example.com;transport=udp"),
        ("sip:bob@example.com;transport=udp", "sip:bob@example.com;transport=tcp"),
        ("sip:bob@example.com", "sip:bob@example.com;user=phone"),
        ("sip:bob@example.com", "sip:bob@example.com;ttl=1"),
        ("sip:bob@example.com", "sip:bob@example.com;method=INVITE"),
        ("sip:bob@example.com", "sip:bob@example.com;maddr=192.0.2.1"),
        ("sip:bob@example.com;x=1", "sip:bob@example.com;x=2"),
        ("sip:carol@example.com", "sip:carol@example.com?Subject=next%20meeting"),
        ("sip:bob@phone21.example.com", "sip:bob@192.0.2.4"),
        ("sip:bob@example.com", "sip:example.com"),
        ("sip:bob:a@example.com", "sip:bob:b@example.com"),
        ("sip:a%3Bb@example.com", "sip:a;b@example.com"),
    ],
)
def test_uri_01_different_uris(a: str, b: str) -> None:
    assert not same_uri(a, b) and not same_uri(b, a)


def test_uri_02_escapes_are_decoded_once_and_only_to_compare() -> None:
    assert not same_uri("sip:%2541@example.com", "sip:A@example.com")
    assert not same_uri("sip:%00a@example.com", "sip:%00b@example.com")
    assert str(Uri.parse("sip:%2541%00@example.com")) == "sip:%2541%00@example.com"


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_parse_09_a_uri_that_is_not_utf8_is_none(bad: bytes) -> None:
    for uri in (b"sip:%b@a.b", b"sip:a@a.b;x=%b", b"tel:%b", b"urn:%b"):
        with pytest.raises(ValueError, match="not a URI"):
            Uri.parse(uri % bad)
        with pytest.raises(ValueError, match="not an address"):
            NameAddr.parse(b"<" + uri % bad + b">")
    address = NameAddr.parse(b'"%b" <sip:a@b>;x=%b' % (bad, bad))
    assert address.to_bytes() == b'"%b" <sip:a@b>;x=%b' % (bad, bad)


@pytest.mark.parametrize("text", ["sip:a@b%61c", "sip:%41", "sip:a@[fe80::1%25eth0]"])
def test_uri_03_no_escapes_in_the_host(text: str) -> None:
    with pytest.raises(ValueError, match="not a URI"):
        Uri.parse(text)


def test_uri_04_the_user_part_may_hold_separators() -> None:
    uri = Uri.parse("sip:a;b?c/d&e=f+g$h,i@example.com;lr")
    assert (uri.user, uri.host, uri.params) == ("a;b?c/d&e=f+g$h,i", "example.com", [("lr", None)])
    for text in ("sip:@example.com", "sip::pw@example.com", "sip:a@b@c"):
        with pytest.raises(ValueError, match="not a URI"):
            Uri.parse(text)


def test_uri_05_the_first_of_repeated_parameters_counts() -> None:
    uri = Uri.parse("sip:a@b;x=1;X=2;y")
    assert uri.param("x") == "1" and str(uri) == "sip:a@b;x=1;X=2;y"
    assert same_uri(uri, "sip:a@b;x=1") and not same_uri(uri, "sip:a@b;x=2")


def test_uri_06_without_brackets_parameters_belong_to_the_header() -> None:
    address = NameAddr.parse("sip:a@b;transport=tcp;expires=5")
    assert address.uri.params == [] and address.params == [("transport", "tcp"), ("expires", "5")]
    for text in ("sip:a@b?Subject=x", "sip:a,b@c", "sip:a@b, sip:c@d", "<sip:a@b>, <sip:c@d>", "*", ""):
        with pytest.raises(ValueError, match="not an address"):
            NameAddr.parse(text)


def test_uri_07_visual_separators_of_tel_do_not_count() -> None:
    assert same_uri("tel:+1-201-555-0123", "tel:+1(201)5550123")
    assert same_uri("tel:7042;Phone-Context=example.com", "tel:70-42;phone-context=EXAMPLE.com")
    assert not same_uri("tel:7042", "tel:7042;phone-context=example.com")
    assert Uri.parse("tel:7042;phone-context=x").user == "7042"


def test_uri_08_sip_and_sips_are_never_equal() -> None:
    assert not same_uri("sip:a@example.com", "sips:a@example.com")


def test_uri_09_ipv6_only_in_brackets_and_compared_as_a_number() -> None:
    assert Uri.parse("sip:[2001:db8::10:5070]").port is None
    assert Uri.parse("sip:[2001:db8::10]:5070").port == 5070
    assert same_uri("sip:[2001:db8::1]", "sip:[2001:DB8:0:0::0001]")
    for text in ("sip:2001:db8::10", "sip:[2001:db8:::1]", "sip:[::1", "sip:[]", "sip:[1.2.3.4]", "sip:[fe80::1%eth0]"):
        with pytest.raises(ValueError, match="not a URI"):
            Uri.parse(text)


@pytest.mark.parametrize("port", ["0", "65536", "", "+1", "-1", "4294972356", "99999999999999999999999", "5060 "])
def test_uri_10_ports_out_of_range(port: str) -> None:
    with pytest.raises(ValueError, match="not a URI"):
        Uri.parse(f"sip:a@b:{port}")


def test_uri_10_underscores_and_a_trailing_dot_are_accepted() -> None:
    assert Uri.parse("sip:a@my_host.example.com.").host == "my_host.example.com."
    assert same_uri("sip:a@example.com.", "sip:a@example.com")
    assert Uri.parse("sip:a@b:65535").port == 65535 and Uri.parse("sip:a@b:00001").port == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:%61lice@EXAMPLE.com;x=y", "sip:alice@example.com"),
        ('"A" <sip:Alice@example.com:5060;lr?x=y>;tag=1', "sip:Alice@example.com"),
        ("alice@example.com.", "sip:alice@example.com"),
        ("sip:alice:pw@example.com:5070", "sip:alice@example.com:5070"),
        ("localhost:5070", "sip:localhost:5070"),
        ("alice@localhost:5070", "sip:alice@localhost:5070"),
        ("sips:alice@example.com:5061", "sips:alice@example.com"),
        ("sip:a%3bb@[2001:DB8:0::1]", "sip:a%3Bb@[2001:db8::1]"),
        ("example.com", "sip:example.com"),
        ("tel:+1-201", "tel:+1201"),
        ("sip:null-%00@example.com", "sip:null-%00@example.com"),
    ],
)
def test_reg_05_the_address_of_record_has_one_form(text: str, expected: str) -> None:
    assert address_of_record(text) == address_of_record(text.encode()) == expected
    assert address_of_record(expected) == expected


def test_an_address_prints_back_as_it_was_written() -> None:
    for text in (
        '"A, \\"B\\"" <sip:a@b;lr>;tag=3;x="q;w"',
        "Alice B<sip:a@b>",
        "<sip:a@b>;q=0.5",
        "sip:a@b;expires=5",
        "\u5927 <tel:1>",
    ):
        assert str(NameAddr.parse(text)) == text
    assert NameAddr.parse('"A, \\"B\\"" <sip:a@b>').display == 'A, "B"'
    assert NameAddr.parse(" Alice  B <sip:a@b>").display == "Alice  B"


def test_a_new_display_name_is_quoted() -> None:
    address = NameAddr.parse("sip:a@b;tag=1")
    address.display = 'a "b" \\'
    assert str(address) == '"a \\"b\\" \\\\" <sip:a@b>;tag=1'
    assert NameAddr.parse(str(address)).display == address.display
    address.display = ""
    address.uri = Uri.parse("sip:c@d;lr")
    assert str(address) == "<sip:c@d;lr>;tag=1"


@given(st.text(st.characters(codec="utf-8"), max_size=30))
@settings(max_examples=200, deadline=None)
def test_whatever_parses_prints_back(text: str) -> None:
    for data in (f"sip:{text}@example.com", f"sip:a@example.com;{text}", text):
        try:
            uri = Uri.parse(data)
        except ValueError:
            continue
        assert str(uri) == data and same_uri(uri, data)
