"""SipUri (section 10): text in, text out, live on request.ruri."""

import pytest
from script_kit import Bench, sip

from siphon import SipUri


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.com",
        "sips:alice:pw@[2001:db8::1]:5061;transport=tls?Subject=x",
        "sip:+15551234;npdi;rn=+1555@example.com;user=phone",
        "sip:%61lice@EXAMPLE.com;X=Y;lr",
        "tel:+1-555-1234;phone-context=example.com",
        "sip:example.com",
        "sip:a;b=c@example.com",
    ],
)
def test_uri_02_what_is_not_touched_prints_back_equal(text):
    uri = SipUri(text)
    assert uri.params is uri.params
    assert (str(uri), uri, hash(uri)) == (text, SipUri(text), hash(SipUri(text)))


@pytest.mark.parametrize(
    ("text", "scheme", "user", "host", "port", "params"),
    [
        ("sip:alice@example.com", "sip", "alice", "example.com", None, {}),
        ("SIPS:alice:pw@[2001:db8::1]:5061;lr;x=1", "sips", "alice", "[2001:db8::1]", 5061, {"lr": "", "x": "1"}),
        ("sip:[2001:db8::1]", "sip", None, "[2001:db8::1]", None, {}),
        ("sip:+1555;npdi;rn=+2@h:5060", "sip", "+1555", "h", 5060, {}),
        (
            "tel:+1-555;phone-context=example.com",
            "tel",
            "+1-555",
            "example.com",
            None,
            {"phone-context": "example.com"},
        ),
        ("tel:911", "tel", "911", "", None, {}),
        ("sip:h;Transport=UDP;transport=tcp", "sip", None, "h", None, {"transport": "UDP"}),
        ("sip:a@h?Route=%3csip:x%3e", "sip", "a", "h", None, {}),
    ],
)
def test_the_parts_of_a_uri(text, scheme, user, host, port, params):
    uri = SipUri.of(text)
    assert (uri.scheme, uri.user, uri.host, uri.port, dict(uri.params)) == (scheme, user, host, port, params)
    assert uri.is_tel == (scheme == "tel")


def test_user_parameters_and_password_are_kept_when_the_user_changes():
    uri = SipUri("sip:+1555;npdi;rn=+2:pw@h;lr")
    uri.user = "+1666"
    assert str(uri) == "sip:+1666;npdi;rn=+2:pw@h;lr"
    uri.user = None
    assert str(uri) == "sip:h;lr"


def test_port_host_and_parameters_change_alone():
    uri = SipUri("sip:%61@h:5070;a=1;LR;b=%20?x=y")
    uri.port, uri.host = None, "other.example.com"
    uri.params["a"] = "2"
    uri.params["new"] = ""
    del uri.params["b"]
    assert str(uri) == "sip:%61@other.example.com;a=2;LR;new?x=y"


def test_dict_methods_of_params_change_the_uri():
    uri = SipUri("sip:h;a=1")
    uri.params.update(b="2")
    uri.params.setdefault("c", "3")
    assert uri.params.pop("A") == "1"
    assert str(uri) == "sip:h;b=2;c=3"
    uri.params |= {"d": ""}
    uri.params.clear()
    assert str(uri) == "sip:h"


@pytest.mark.parametrize("name", ["user", "host"])
@pytest.mark.parametrize("value", ["a\r\nVia: x", "a b", "a\0", "<x>", ""])
def test_sec_07_an_illegal_part_is_refused_and_changes_nothing(name, value):
    uri = SipUri("sip:alice@example.com")
    with pytest.raises(ValueError):
        setattr(uri, name, value)
    assert str(uri) == "sip:alice@example.com"


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_uri_10_a_port_out_of_range_is_refused(port):
    uri = SipUri("sip:h")
    with pytest.raises(ValueError):
        uri.port = port
    assert uri.port is None


@pytest.mark.parametrize("value", ["a\r\nb", "x;y", "\0", "a b"])
def test_sec_07_an_illegal_parameter_is_refused(value):
    uri = SipUri("sip:h;lr")
    with pytest.raises(ValueError):
        uri.params["x"] = value
    with pytest.raises(ValueError):
        uri.params[value] = "x"
    assert str(uri) == "sip:h;lr"


@pytest.mark.parametrize("text", ["", "nonsense", "sip:", "sip:a@", "sip:@h", "sip:a@h\r\n", "sip:h:99999", "http//x"])
def test_what_is_no_uri_is_a_value_error(text):
    with pytest.raises(ValueError):
        SipUri(text)


def test_a_uri_is_made_from_parts():
    assert str(SipUri(scheme="sip", user="alice", host="example.com", port=5070)) == "sip:alice@example.com:5070"
    assert str(SipUri(host="[::1]")) == "sip:[::1]"
    assert str(SipUri(scheme="tel", user="+1555", host="example.com")) == "tel:+1555;phone-context=example.com"
    for wrong in ({"host": "a b"}, {"host": "h", "user": "a@b"}, {"host": "h", "port": 0}, {"user": "x"}):
        with pytest.raises(ValueError):
            SipUri(**wrong)


def test_equality_follows_the_text():
    assert SipUri("sip:a@h") == SipUri("sip:a@h")
    assert SipUri("sip:a@h") != SipUri("sip:a@H")
    assert SipUri("sip:a@h") != "sip:a@h"


def test_is_local_means_a_local_domain_in_any_case(tmp_path):
    Bench(tmp_path, "")
    assert SipUri("sip:a@Example.COM:5099").is_local
    assert not SipUri("sip:a@example.net").is_local
    assert not SipUri("tel:+1555").is_local


def test_the_request_uri_is_live(tmp_path):
    request = Bench(tmp_path, "").request(sip("INVITE", "sip:bob@example.com;x=1"))
    uri = request.ruri
    uri.user = "carol"
    uri.params["x"] = "2"
    assert request.ruri is uri
    assert request._draft.to_bytes().startswith(b"INVITE sip:carol@example.com;x=2 SIP/2.0\r\n")


def test_from_and_to_uris_are_not_live_but_know_is_local(tmp_path):
    request = Bench(tmp_path, "").request(sip())
    request.to_uri.user = "carol"
    assert (str(request.to_uri), request.from_uri.is_local) == ("sip:bob@example.com", True)
    assert request._draft is None
