"""Session descriptions as lines and live views, and where they lie in bodies of several parts (section 15.6)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siphon.services.media.multipart import sdp_span
from siphon.services.media.sdp import LONGEST, SessionDescription

CALL = (
    "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\n"
    "m=audio 49170/2 RTP/AVP 0 8 96 101\r\nb=AS:64\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 opus/48000/2\r\n"
    "a=fmtp:96 minptime=10\r\na=rtcp-fb:96 nack\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    "a=ptime:20\r\na=sendrecv\r\na=candidate:1 x\r\na=candidate:2 y\r\n"
    "m=video 51372 RTP/SAVPF 97\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:97 VP8/90000\r\n"
    "m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n"
)


@pytest.fixture
def call():
    return SessionDescription(CALL)


def test_what_is_not_touched_is_written_back_byte_for_byte(call):
    assert (str(call), bytes(call)) == (CALL, CALL.encode())


def test_nothing_gives_nothing():
    assert (str(SessionDescription()), SessionDescription("").media) == ("", [])
    assert SessionDescription("").origin is None


def test_the_session_is_read(call):
    assert (call.origin, call.session_name, call.connection) == (
        "alice 1 1 IN IP4 192.0.2.1",
        "-",
        "IN IP4 192.0.2.1",
    )
    assert call.attrs == ["group:BUNDLE 0 1", "ice-lite"]


def test_sections_are_read(call):
    found = [(one.media_type, one.port, one.protocol, one.codecs) for one in call.media]
    assert found == [
        ("audio", 49170, "RTP/AVP", ["PCMU", "PCMA", "opus", "telephone-event"]),
        ("video", 51372, "RTP/SAVPF", ["VP8"]),
        ("image", 5000, "udptl", []),
        ("application", 9, "UDP/DTLS/SCTP", []),
    ]
    assert [one.connection for one in call.media] == [None, "IN IP6 2001:db8::1", None, None]


def test_attributes_of_a_section_leave_out_rtpmap_and_fmtp(call):
    assert call.media[0].attrs == ["rtcp-fb:96 nack", "ptime:20", "sendrecv", "candidate:1 x", "candidate:2 y"]


def test_an_attribute_is_a_value_a_flag_or_absent(call):
    audio = call.media[0]
    assert (audio.get_attr("ptime"), audio.get_attr("sendrecv"), audio.get_attr("send")) == ("20", "", None)
    assert (audio.has_attr("candidate"), audio.has_attr("cand")) == (True, False)
    assert audio.get_attrs_by_name("candidate") == ["1 x", "2 y"]


def test_set_attr_replaces_the_first_where_it_stands_and_appends_where_there_is_none(call):
    audio = call.media[0]
    audio.set_attr("ptime", "30")
    audio.set_attr("candidate", "3 z")
    audio.set_attr("label", "1")
    audio.set_attr("sendonly")
    assert audio.attrs == [
        *("rtcp-fb:96 nack", "ptime:30", "sendrecv", "candidate:3 z", "candidate:2 y"),
        *("label:1", "sendonly"),
    ]
    assert str(call).index("a=sendonly\r\nm=video") > 0


def test_set_attrs_by_name_replaces_all_at_the_place_of_the_first(call):
    audio = call.media[0]
    audio.set_attrs_by_name("candidate", ["4 a", "5 b", "6 c"])
    assert audio.attrs[-3:] == ["candidate:4 a", "candidate:5 b", "candidate:6 c"]
    audio.set_attrs_by_name("candidate", [])
    assert not audio.has_attr("candidate")


def test_remove_attr_removes_all_of_the_name(call):
    call.media[0].remove_attr("candidate")
    call.remove_attr("nothing")
    assert str(call) == CALL.replace("a=candidate:1 x\r\na=candidate:2 y\r\n", "")


def test_assigned_attrs_replace_these_lines_and_no_others(call):
    call.attrs = ["tool:x"]
    call.media[0].attrs = ["sendonly"]
    changed = str(call)
    assert "t=0 0\r\na=tool:x\r\nm=audio" in changed
    assert "a=fmtp:96 minptime=10\r\na=sendonly\r\na=rtpmap:101" in changed
    assert call.media[0].codecs == ["PCMU", "PCMA", "opus", "telephone-event"]


def test_a_line_is_appended_before_blank_ones_at_the_end():
    odd = SessionDescription("v=0\r\nm=audio 1 RTP/AVP 0\r\n\r\n")
    odd.media[0].set_attr("sendrecv")
    assert str(odd) == "v=0\r\nm=audio 1 RTP/AVP 0\r\na=sendrecv\r\n\r\n"


def test_the_port_is_changed_in_place_and_its_count_stays_until_it_is_refused(call):
    call.media[0].port = 6000
    assert "m=audio 6000/2 RTP/AVP 0 8 96 101\r\n" in str(call)
    call.media[0].port = 0
    assert (call.media[0].port, "m=audio 0 RTP/AVP 0 8 96 101\r\n" in str(call)) == (0, True)


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (65536, ValueError), ("5", TypeError)])
def test_what_is_no_port_is_refused(call, value, error):
    with pytest.raises(error):
        call.media[0].port = value
    assert call.media[0].port == 49170


def test_filter_codecs_keeps_the_named_ones_case_ignored_with_their_lines(call):
    call.filter_codecs(["OPUS", "pcma"])
    audio = call.media[0]
    assert audio.codecs == ["PCMA", "opus"]
    assert "m=audio 49170/2 RTP/AVP 8 96\r\n" in str(call)
    assert ("a=rtpmap:0" in str(call), "telephone-event" in str(call), "a=fmtp:101" in str(call)) == (False,) * 3
    assert ("a=fmtp:96" in str(call), "a=rtcp-fb:96" in str(call)) == (True, True)


def test_a_section_without_a_codec_left_is_refused_and_keeps_its_first_format(call):
    call.filter_codecs(["PCMU"])
    assert (call.media[1].port, call.media[1].codecs) == (0, ["VP8"])
    assert "m=video 0 RTP/SAVPF 97\r\n" in str(call)


def test_remove_codecs_removes_also_those_named_by_their_static_number(call):
    call.remove_codecs(["PCMA", "telephone-event"])
    assert call.media[0].codecs == ["PCMU", "opus"]
    assert call.media[1].port == 51372


def test_formats_that_are_no_numbers_are_left_alone(call):
    call.filter_codecs(["PCMU"])
    assert [str(call).count(text) for text in ("image 5000 udptl t38", "9 UDP/DTLS/SCTP webrtc-datachannel")] == [1, 1]


def test_a_number_without_a_name_goes_by_filter_and_stays_by_remove():
    for act, left in (("filter_codecs", "8"), ("remove_codecs", "8 99")):
        one = SessionDescription("m=audio 1 RTP/AVP 8 99\r\n")
        getattr(one, act)(["PCMA"] if act == "filter_codecs" else ["PCMU"])
        assert str(one) == f"m=audio 1 RTP/AVP {left}\r\n"


def test_rtpmap_has_the_word_over_the_static_name():
    assert SessionDescription("m=audio 1 RTP/AVP 8\r\na=rtpmap:8 G729/8000\r\n").media[0].codecs == ["G729"]


def test_views_are_live_and_one_of_a_removed_section_raises(call):
    audio, video = call.media[0], call.media[1]
    call.remove_media("video")
    audio.set_attr("label", "x")
    assert "a=label:x\r\n" in str(call)
    assert [one.media_type for one in call.media] == ["audio", "image", "application"]
    for use in (
        lambda: video.port,
        lambda: video.attrs,
        lambda: video.codecs,
        lambda: video.set_attr("x"),
        lambda: setattr(video, "port", 1),
        lambda: video.connection,
    ):
        with pytest.raises(IndexError):
            use()


@pytest.mark.parametrize("bad", ["a\r\nm=audio 1 RTP/AVP 0", "a\nb", "a\rb", "a\0"])
def test_no_setter_takes_a_second_line(call, bad):
    for use in (
        lambda: call.set_attr("x", bad),
        lambda: call.set_attr(bad),
        lambda: call.media[0].set_attrs_by_name("x", ["ok", bad]),
        lambda: setattr(call, "attrs", [bad]),
    ):
        with pytest.raises(ValueError):
            use()
    assert str(call) == CALL


def test_one_str_is_no_list_of_them(call):
    for use in (
        lambda: setattr(call, "attrs", "abc"),
        lambda: call.filter_codecs("PCMU"),
        lambda: call.set_attrs_by_name("x", "abc"),
        lambda: setattr(call, "attrs", 5),
        lambda: call.remove_codecs(None),
    ):
        with pytest.raises(TypeError, match="is a list of str, not "):
            use()


@pytest.mark.parametrize("name", ["", "a:b", "a b"])
def test_what_is_no_attribute_name_is_refused(call, name):
    with pytest.raises(ValueError):
        call.get_attr(name)


def test_a_text_of_no_sane_length_is_refused():
    with pytest.raises(ValueError):
        SessionDescription("a" * (LONGEST + 1))


LINES = st.lists(
    st.one_of(
        st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=12),
        st.builds("m={} {} {} {}".format, *[st.text("audiovRTP/ 0189", max_size=8)] * 4),
        st.builds("a=rtpmap:{} {}/8000".format, st.sampled_from(["0", "8", "96", "x"]), st.text("PCMUA", max_size=4)),
        st.sampled_from(["m=", "m=audio", "a=", "a=:", "c=", "m=audio 5 RTP/AVP 0 8 96", "a=fmtp:96", "a=rtpmap:"]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES)
def test_any_lines_are_written_back_byte_for_byte(lines):
    text = "".join(f"{line}\r\n" for line in lines)
    assert str(SessionDescription(text)) == text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES, st.sampled_from(["\n", "\r", "\r\n"]))
def test_line_ends_of_all_kinds_become_crlf(lines, end):
    text = end.join(lines)
    expected = "".join(f"{line}\r\n" for line in (lines if not lines or lines[-1] else lines[:-1]))
    assert str(SessionDescription(text)) == expected


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES, st.lists(st.sampled_from(["PCMU", "PCMA", "opus", "", "\u017f"]), max_size=3))
def test_filters_leave_other_lines_alone_and_are_idempotent(lines, names):
    one = SessionDescription("".join(f"{line}\r\n" for line in lines))
    other_lines = [line for line in lines if not line.startswith(("m=", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"))]
    for section in one.media:
        assert (section.port >= 0, section.codecs, section.attrs) is not None
    one.filter_codecs(names)
    once = str(one)
    for line in other_lines:
        assert line in once
    one.filter_codecs(names)
    assert str(one) == once == str(SessionDescription(once))
    kept = {name.lower() for name in names}
    assert all({codec.lower() for codec in section.codecs} <= kept or section.port == 0 for section in one.media)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=200))
def test_no_text_is_too_odd(text):
    one = SessionDescription(text)
    assert str(SessionDescription(str(one))) == str(one)


# -- bodies of several parts

PARTS = (
    b"preamble\r\n--x\r\nContent-Type: application/isup\r\nContent-Disposition: signal\r\n\r\n\x01\x02--x\r\n"
    b"--x\r\ncontent-type : Application/SDP;charset=utf-8\r\n\r\nv=0\r\ns=-\r\n\r\n--x--\r\nepilogue"
)


def part(kind, body):
    span = sdp_span(kind, body)
    return None if span is None else body[span[0] : span[1]]


@pytest.mark.parametrize("kind", ["multipart/mixed;boundary=x", 'multipart/mixed; Boundary = "x" ;a=b'])
def test_the_part_with_the_description_is_found(kind):
    assert part(kind, PARTS) == b"v=0\r\ns=-\r\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/mixed", PARTS),
        ("multipart/mixed;boundary=y", PARTS),
        ("multipart/mixed;boundary=x", b""),
        ("multipart/mixed;boundary=x", b"--x\r\nContent-Type: text/a\r\n\r\nContent-Type: application/sdp\r\n--x--"),
        ("multipart/mixed;boundary=x", b"--x--\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--"),
        ("multipart/mixed;boundary=x", b"--x\r\nContent-Type: application/sdp\r\n\r\nno end"),
        ("multipart/mixed;boundary=x", b"--x\r\nx: y\r\n\r\n1\r\n" * 40 + PARTS),
    ],
)
def test_what_has_no_part_with_a_description_gives_none(kind, body):
    assert sdp_span(kind, body) is None


def test_an_empty_part_before_it_is_passed():
    assert part("multipart/mixed;boundary=x", b"--x\r\n" + PARTS[10:]) == b"v=0\r\ns=-\r\n"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=40), st.text(max_size=20))
def test_no_body_is_too_odd(noise, kind):
    sdp_span(f"multipart/mixed;boundary={kind}", noise + PARTS + noise)
    sdp_span("multipart/mixed;boundary=x", noise.join([PARTS[:30], PARTS[30:]]))
