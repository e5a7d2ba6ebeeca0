"""Targets of a fork, Max-Breadth, URIs made fit for a request line."""

import pytest
from forwarding_messages import request
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarding.targets import Target, dedupe, groups, received_breadth, share_breadth
from siphon.forwarding.trim import clean_target, with_parameter, without_port
from siphon.sip.uri import Uri

A, B, C = (Target(b"sip:%c@203.0.113.5" % letter) for letter in b"abc")


@pytest.mark.parametrize(
    "same",
    [b"sip:a@203.0.113.5", b"SIP:a@203.0.113.5", b"sip:%61@203.0.113.5", b"sip:a@203.0.113.5;x=1"],
)
def test_prx_30_the_same_target_twice_is_one_branch(same):
    assert dedupe([A, Target(same), B]) == [A, B]


@pytest.mark.parametrize(
    "other",
    [
        Target(b"sip:A@203.0.113.5"),
        Target(b"sip:a@203.0.113.5:5060"),
        Target(b"sips:a@203.0.113.5"),
        Target(A.uri, path=(b"<sip:192.0.2.9;lr>",)),
        Target(A.uri, flow="flow"),
    ],
)
def test_prx_30_another_uri_path_or_flow_is_another_branch(other):
    assert dedupe([A, other]) == [A, other]


@pytest.mark.parametrize("same", [b"?Subject=x", b";method=INVITE", b";Method=BYE?Route=%3Csip:evil%3E"])
def test_prx_30_prx_23_what_no_request_uri_keeps_makes_no_second_branch(same):
    assert dedupe([A, Target(A.uri + same)]) == [A]
    assert dedupe([Target(A.uri + same), A, B]) == [Target(A.uri + same), B]


def test_prx_30_targets_that_cannot_be_parsed_equal_only_themselves():
    bad = Target(b"nonsense")
    assert dedupe([bad, bad, Target(b"other nonsense"), A]) == [bad, Target(b"other nonsense"), A]


def test_parallel_is_one_group_and_sequential_one_each():
    assert groups([A, B, A], "parallel") == [[A, B]]
    assert groups([A, B, A], "sequential") == [[A], [B]]
    assert groups([], "parallel") == groups([], "sequential") == groups([], "q") == []


def test_fork_01_equal_q_goes_together_highest_first():
    low, high, also = (Target(t.uri, q=q) for t, q in ((A, 0.2), (B, 0.9), (C, 0.2)))
    assert groups([low, high, also], "q") == [[high], [low, also]]


def test_fork_01_the_last_of_three_decimals_makes_another_group():
    one, two, three = (Target(t.uri, q=q) for t, q in ((A, 0.5), (B, 0.501), (C, 0.51)))
    assert groups([one, two, three], "q") == [[three], [two], [one]]


# -- Max-Breadth ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "breadth"), [(None, 60), ("5", 5), ("0", 0), ("61", 60), ("x", 60), ("-1", 60), ("9" * 30, 60)]
)
def test_prx_13_max_breadth_is_what_came_but_never_above_ours(value, breadth):
    headers = [] if value is None else [f"Max-Breadth: {value}"]
    assert received_breadth(request(headers=headers), 60) == breadth


@given(st.integers(-1, 100), st.integers(0, 100))
def test_prx_13_the_shares_of_running_branches_never_exceed_what_is_free(free, waiting):
    shares = share_breadth(free, waiting)
    assert len(shares) == max(0, min(free, waiting))
    assert sum(shares) == (free if shares else 0)
    assert all(share >= 1 for share in shares)


def test_prx_13_one_branch_gets_all_of_it():
    assert share_breadth(60, 1) == [60]
    assert share_breadth(5, 3) == [2, 2, 1]


# -- URIs for the request line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "clean"),
    [
        (b"sip:a@h;x=1;method=INVITE;lr?Route=%3Csip:evil%3E&Subject=s", b"sip:a@h;x=1;lr"),
        (b"sip:a@h;METHOD=x;m%65thod=y", b"sip:a@h"),
        (b"sips:h;method", b"sips:h"),
        (b"sip:who?method;m=1@h;ok", b"sip:who?method;m=1@h;ok"),
        (b"sip:a@[2001:db8::1]:5060;methodical=1", b"sip:a@[2001:db8::1]:5060;methodical=1"),
        (b"tel:+1;method=2?x", b"tel:+1;method=2?x"),
    ],
)
def test_prx_23_headers_and_method_of_a_target_are_taken_off(uri, clean):
    assert clean_target(uri) == clean


@given(
    st.from_regex(
        rb"sip:([a-z;?=%41]{1,9}@)?[a-z]{1,9}(:[1-9][0-9]{3})?(;[a-l]{1,5}(=[a-z]{1,5})?){0,3}", fullmatch=True
    )
)
def test_prx_23_a_uri_without_them_stays_as_written(uri):
    assert clean_target(uri) == uri


@pytest.mark.parametrize(
    ("uri", "bare"),
    [(b"sip:a@h:5060;x?y", b"sip:a@h;x?y"), (b"sip:[::1]:5060;x", b"sip:[::1];x"), (b"sip:[::1]", b"sip:[::1]")],
)
def test_a_port_is_taken_off(uri, bare):
    assert without_port(uri) == bare


def test_a_parameter_is_put_before_the_headers():
    assert with_parameter(b"sip:a@h;x?y=z", b"lr") == b"sip:a@h;x;lr?y=z"
    assert Uri.parse(with_parameter(b"sip:h", b"lr")).params == [("lr", None)]
