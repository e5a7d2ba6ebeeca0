"""proxy.sanity_check (section 5)."""

import pytest
from script_kit import Bench, sip

from siphon import proxy

GOOD = sip("INVITE", "sip:bob@example.com", "X-Body: 1", body=b"hello")


@pytest.fixture
def check(tmp_path):
    bench = Bench(tmp_path, "")
    return lambda raw: proxy.sanity_check(bench.request(raw))


def test_a_sane_request_passes(check):
    assert check(GOOD) is True
    assert check(sip("OPTIONS")) is True


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_a_header_that_a_handler_took_away_is_missed(tmp_path, name):
    """The parser refuses such a request before any script; a script sees what its own edits left."""
    request = Bench(tmp_path, "").request(GOOD)
    request.remove_header(name.decode())
    assert proxy.sanity_check(request) is False


@pytest.mark.parametrize(
    ("value", "sane"),
    [("0", False), ("1", True), ("70", True)],
)
def test_max_forwards_must_not_be_0(check, value, sane):
    assert check(sip("INVITE", max_forwards=value)) is sane


@pytest.mark.parametrize(("value", "sane"), [("0", False), ("1", True)])
def test_max_forwards_counts_as_handlers_have_left_it(tmp_path, value, sane):
    request = Bench(tmp_path, "").request(GOOD)
    request.set_header("Max-Forwards", value)
    assert proxy.sanity_check(request) is sane


def test_an_absent_max_forwards_is_fine(check):
    assert check(GOOD.replace(b"Max-Forwards: 70\r\n", b"")) is True


@pytest.mark.parametrize("value", ["1 BYE", "junk", "1", "99999999999 INVITE"])
def test_cseq_must_parse_and_name_the_method(tmp_path, value):
    request = Bench(tmp_path, "").request(GOOD)
    request.set_header("CSeq", value)
    assert proxy.sanity_check(request) is False


@pytest.mark.parametrize(("length", "sane"), [("5", True), ("4", False), ("6", False), (None, True)])
def test_content_length_must_be_that_of_the_body(tmp_path, length, sane):
    request = Bench(tmp_path, "").request(GOOD)
    if length is None:
        request.remove_header("Content-Length")
    else:
        request.set_header("Content-Length", length)
    assert proxy.sanity_check(request) is sane


def test_anything_but_a_request_is_a_type_error():
    with pytest.raises(TypeError):
        proxy.sanity_check("INVITE")
