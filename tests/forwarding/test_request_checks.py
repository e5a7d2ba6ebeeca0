"""What is refused before a script sees it."""

from types import SimpleNamespace

import pytest
from forwarding_messages import request

from siphon.forwarding.validate import check_request

SETTINGS = SimpleNamespace(proxy=SimpleNamespace(known_extensions=["Known"]))


def check(message, looped=False):
    return check_request(message, SETTINGS, looped=looped)


def status(message, looped=False):
    refusal = check(message, looped)
    return refusal and refusal.status


def test_a_good_request_passes():
    assert check(request()) is None
    assert check(request(uri="tel:+358-555-1234567")) is None
    assert check(request(uri="SIPS:bob@example.com")) is None


@pytest.mark.parametrize("uri", ["http://example.com/", "nobodyKnowsThisScheme:totallyopaquecontent", "soap.beep:x"])
def test_prx_03_a_scheme_that_cannot_be_routed_gets_416(uri):
    assert status(request(uri=uri)) == 416


def test_prx_01_the_first_failing_check_answers():
    bad = {"uri": "foo:bar", "max_forwards": "0", "headers": ["Proxy-Require: a"]}
    assert status(request(**bad), looped=True) == 416
    bad["uri"] = "sip:bob@example.com"
    assert status(request(**bad), looped=True) == 483
    bad["max_forwards"] = "1"
    assert status(request(**bad), looped=True) == 482
    assert status(request(**bad), looped=False) == 420


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "BYE", "NONESUCH"])
def test_prx_04_no_hops_left_gets_483(method):
    assert status(request(method, max_forwards="0")) == 483


@pytest.mark.parametrize("hops", [None, "1", "00070", "255", "300"])
def test_prx_05_and_06_other_max_forwards_pass(hops):
    assert check(request(max_forwards=hops)) is None


@pytest.mark.parametrize("change", [{"max_forwards": "0"}, {"uri": "foo:bar"}, {"headers": ["Proxy-Require: a"]}])
def test_prx_07_an_ack_is_checked_so_that_its_caller_can_drop_it(change):
    assert check(request("ACK", **change)) is not None


def test_prx_08_exactly_the_unknown_extensions_are_named():
    refusal = check(request(headers=["Proxy-Require: one, known", "Proxy-Require: two,one"]))
    assert (refusal.status, refusal.reason) == (420, "Bad Extension")
    assert refusal.headers == (("Unsupported", "one, two"),)


def test_prx_08_known_extensions_and_require_pass():
    assert check(request(headers=["Proxy-Require: KNOWN", "Require: anything"])) is None


def test_prx_09_proxy_require_in_a_cancel_is_ignored():
    assert check(request("CANCEL", headers=["Proxy-Require: a"])) is None
    assert check(request("CANCEL", max_forwards="0"), looped=True) is None


def test_prx_10_the_loop_is_looked_for_only_when_all_before_it_passed():
    asked = []
    check(request(max_forwards="0"), looped=lambda: asked.append(1))
    assert not asked
    assert status(request(), looped=lambda: True) == 482
