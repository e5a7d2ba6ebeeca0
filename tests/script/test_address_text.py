"""The text of address headers and URIs under edits: whatever is written, it parses again and the rest is unchanged."""

from hypothesis import given
from hypothesis import strategies as st

from siphon.script import text
from siphon.script.address import first_address, parameter, replace_display, replace_uri, uri_span
from siphon.script.uri import SipUri
from siphon.sip.uri import NameAddr, Uri

names = st.sampled_from(["", "Bob ", '"Bob, <B>" ', '"a\\"b" ', "Bob  B "])
uris = st.sampled_from(
    ["sip:b@h", "sip:h:5070;x=1;lr?a=b", "sips:a;p=1:pw@[::1]:5061", "tel:+1555;phone-context=h", "sip:%61,b@h"]
)
tails = st.sampled_from(["", ";tag=1", ' ; x="a;b,<c>" ;tag=2', ";flag;expires=5"])
others = st.sampled_from(["", ", <sip:c@h>;q=1", ',"x,y" <sip:d@h>'])
display = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), max_size=12)


@given(names, uris, tails, others)
def test_uri_and_first_address_are_found(name, uri, tail, other):
    value = f"{name}<{uri}>{tail}{other}"
    start, end, bracketed = uri_span(value)
    assert (value[start:end], bracketed) == (uri, True)
    assert first_address(value) == f"{name}<{uri}>{tail}".rstrip()
    tag = next((v for k, v in NameAddr.parse(first_address(value)).params if k == "tag"), None)
    assert parameter(value, "tag") == tag


@given(names, uris, tails, uris)
def test_replace_uri_changes_nothing_else(name, uri, tail, new):
    before, after = NameAddr.parse(f"{name}<{uri}>{tail}"), NameAddr.parse(replace_uri(f"{name}<{uri}>{tail}", new))
    assert (str(after.uri), after.display, after.params) == (new, before.display, before.params)


@given(uris, tails, uris)
def test_replace_uri_without_brackets_keeps_header_parameters(uri, tail, new):
    if set(uri) & set(";?,"):
        return
    after = NameAddr.parse(replace_uri(uri + tail, new))
    assert (str(after.uri), after.params) == (new, NameAddr.parse(f"<{uri}>{tail}").params)


@given(names, uris, tails, display)
def test_replace_display_changes_nothing_else_and_quotes_what_needs_it(name, uri, tail, new):
    value = replace_display(f"{name}<{uri}>{tail}", new)
    after = NameAddr.parse(value.encode("utf-8"))
    assert (str(after.uri), after.params) == (uri, NameAddr.parse(f"<{uri}>{tail}").params)
    assert uri_span(value)[2]


@given(st.binary(max_size=20))
def test_any_bytes_survive_the_way_through_text(data):
    assert text.encode(text.decode(data)) == data


@given(uris, st.text(max_size=8), st.sampled_from(["user", "host", "port"]))
def test_sec_07_an_edit_is_refused_or_gives_a_uri_that_parses(uri, value, part):
    edited = SipUri(uri)
    before = (edited.scheme, edited.user, edited.host, edited.port, dict(edited.params))
    try:
        setattr(edited, part, len(value) * 9000 if part == "port" else value)
    except ValueError:
        assert str(edited) == uri
        return
    again = SipUri.of(str(Uri.parse(str(edited))))
    after = (again.scheme, again.user, again.host, again.port, dict(again.params))
    changed = [i for i in range(4) if before[i] != after[i]]
    assert set(changed) <= {("scheme", "user", "host", "port").index(part)}
    assert edited.is_tel or after[4] == before[4]


@given(uris, st.text(max_size=6), st.text(max_size=6))
def test_sec_07_a_parameter_is_refused_or_gives_a_uri_that_parses(uri, name, value):
    edited = SipUri(uri)
    before = dict(edited.params)
    try:
        edited.params[name] = value
    except ValueError:
        assert str(edited) == uri
        return
    assert dict(SipUri(str(edited)).params) == {**before, name.lower(): value}
