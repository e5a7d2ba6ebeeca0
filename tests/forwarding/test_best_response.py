"""Which failure goes up, and in what form."""

from itertools import permutations

import pytest
from forwarding_messages import response
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarding.aggregate import (
    SEND_NOTHING,
    Candidate,
    Origin,
    best_response,
    better,
    merge_challenges,
    upstream_form,
    upstream_status,
)
from siphon.sip.message import parse

BASIC, DIGEST = 'WWW-Authenticate: Basic realm="a"', 'Proxy-Authenticate: Digest realm="b, c",  nonce="1"'
CANDIDATES = st.builds(Candidate, st.integers(200, 699), st.sampled_from(Origin), st.integers(0, 9))


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ((408, 486, 500), 486),
        ((408, 500), 408),
        ((302, 486), 302),
        ((603, 486), 603),
        ((603, 302, 401), 603),
        ((486, 401), 401),
        ((407, 401), 401),
        ((404, 415), 415),
        ((404, 420), 420),
        ((404, 484), 484),
        ((484, 420, 415, 407), 407),
        ((503, 404), 404),
        ((500, 400), 400),
        ((600, 200), 200),
    ],
)
def test_prx_47_the_best_response_by_class_and_then_by_use_to_the_client(statuses, best):
    candidates = [Candidate(status, Origin.RECEIVED, order) for order, status in enumerate(statuses)]
    assert best_response(candidates).status == best


def test_prx_47_a_received_response_is_better_than_one_made_here():
    received, made = Candidate(486, Origin.RECEIVED, 5), Candidate(408, Origin.LOCAL, 1)
    assert better(received, made)
    assert best_response([made, received]) is received


def test_prx_47_a_lower_class_made_here_is_better_than_a_higher_one_received():
    assert better(Candidate(408, Origin.LOCAL, 2), Candidate(500, Origin.RECEIVED, 1))


def test_prx_47_the_earliest_of_equals_goes_up():
    one, two = Candidate(486, Origin.RECEIVED, 1), Candidate(404, Origin.RECEIVED, 2)
    assert all(best_response(order) is one for order in permutations((one, two)))


def test_there_is_no_best_of_nothing():
    assert best_response([]) is None


@given(st.lists(CANDIDATES, min_size=1, max_size=8))
def test_no_candidate_is_better_than_the_best(candidates):
    best = best_response(candidates)
    assert not any(better(candidate, best) for candidate in candidates)
    assert not better(best, best)


# -- challenges ----------------------------------------------------------------------------------------------------


def test_prx_48_the_chosen_challenge_carries_every_challenge_seen_in_order():
    best = response(401, headers=["Subject: s", BASIC, "Date: d"])
    others = [response(407, headers=[DIGEST, BASIC]), response(486, headers=[BASIC]), response(401, headers=[DIGEST])]
    merged = parse(merge_challenges(best, others))
    lines = [bytes(merged.raw[merged.span(i)[0] : merged.span(i)[3]]).decode() for i in range(merged.lines)]
    assert lines[5:10] == [f"{line}\r\n" for line in ("Subject: s", BASIC, DIGEST, BASIC, DIGEST)]
    assert merged.status == 401


def test_prx_48_a_folded_challenge_keeps_its_bytes():
    folded = 'Proxy-Authenticate: Digest realm="x",\r\n   nonce="y"'
    merged = merge_challenges(response(401, headers=[BASIC]), [response(407, headers=[folded])])
    assert folded.encode() in merged


def test_prx_48_a_response_that_is_no_challenge_stays_as_it_is():
    best = response(486)
    assert merge_challenges(best, [response(401, headers=[BASIC])]) == best
    assert merge_challenges(response(401, headers=[BASIC]), []) == response(401, headers=[BASIC])


def test_prx_48_a_challenge_without_a_header_of_its_own_gets_those_of_the_others():
    merged = parse(merge_challenges(response(401), [response(407, headers=[DIGEST])]))
    assert merged.all_lines("Proxy-Authenticate") == [DIGEST.partition(": ")[2].encode()]


# -- the form in which it goes up ----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", Origin)
def test_prx_49_a_503_goes_up_as_500(origin):
    assert upstream_status(503, origin, "INVITE") == (500, "Server Internal Error")


def test_prx_49_a_503_loses_its_retry_after_and_nothing_else():
    unavailable = response(503, "Service Unavailable", ["Retry-After: 30", "X-Note: kept"])
    expected = response(500, "Server Internal Error", ["X-Note: kept"])
    assert upstream_form(parse(unavailable), Origin.RECEIVED, "INVITE") == expected


def test_prx_57_any_other_response_goes_up_byte_for_byte():
    odd = response(486, "", ["X-Odd:   spaces ", "Retry-After: 30"])
    assert upstream_form(parse(odd), Origin.RECEIVED, "INVITE") == odd


def test_prx_53_the_to_tag_is_never_changed():
    for status in (302, 486, 503, 408, 603):
        sent = upstream_form(parse(response(status)), Origin.RECEIVED, "OPTIONS")
        assert parse(sent).to_tag == b"to1"


def test_txn_20_a_non_invite_is_never_answered_408():
    assert upstream_status(408, Origin.TIMER_F, "OPTIONS")[0] == SEND_NOTHING
    assert upstream_form(parse(response(408)), Origin.TIMER_F, "OPTIONS") is None
    assert upstream_status(408, Origin.LOCAL, "MESSAGE") == (504, "Server Time-out")
    assert upstream_status(408, Origin.RECEIVED, "BYE") == (504, "Server Time-out")


def test_prx_50_an_invite_is_answered_408():
    assert upstream_status(408, Origin.LOCAL, "INVITE") == (408, "")
