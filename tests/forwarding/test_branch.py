"""Ids of server transactions, branches of ours, loop values."""

import pytest
from forwarding_messages import IDENTITY, KEY, VIA, request
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarding.branch import (
    Branch,
    branch_token,
    cancel_id,
    loop_value,
    looped,
    matched_by_2543_rules,
    parse_branch,
    transaction_id,
)
from siphon.sip.message import stamp_source

OLD_VIA = "SIP/2.0/UDP 198.51.100.7:5070"
IDS = st.binary(min_size=16, max_size=16)


def test_txn_14_a_retransmission_has_the_id_of_the_original():
    assert transaction_id(request(), KEY) == transaction_id(request(), KEY)
    assert len(transaction_id(request(), KEY)) == 16


def test_txn_14_the_key_makes_the_id():
    assert transaction_id(request(), KEY) != transaction_id(request(), b"another key of the workers")


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP 198.51.100.8:5070;branch=z9hG4bKabc",
        "SIP/2.0/UDP 198.51.100.7:5071;branch=z9hG4bKabc",
        "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKabd",
    ],
)
def test_txn_14_another_sent_by_or_branch_is_another_transaction(via):
    assert transaction_id(request(vias=[via]), KEY) != transaction_id(request(), KEY)


def test_prx_14_two_copies_that_differ_in_their_branch_alone_are_two_transactions_and_no_loop():
    one, other = (request(vias=[f"{VIA}{path}"]) for path in "xy")
    assert transaction_id(one, KEY) != transaction_id(other, KEY)
    assert not looped(other, loop_value(one, KEY), IDENTITY)


def test_txn_14_the_host_is_compared_without_case():
    upper, lower = (f"SIP/2.0/UDP {host}:5070;branch=z9hG4bKabc" for host in ("PC.Example.NET", "pc.example.net"))
    assert transaction_id(request(vias=[upper]), KEY) == transaction_id(request(vias=[lower]), KEY)


def test_txn_14_an_absent_port_is_5060():
    bare, named = (f"SIP/2.0/UDP 198.51.100.7{port};branch=z9hG4bKabc" for port in ("", ":5060"))
    assert transaction_id(request(vias=[bare]), KEY) == transaction_id(request(vias=[named]), KEY)


def test_txn_14_the_same_branch_with_another_method_is_a_transaction_of_its_own():
    assert transaction_id(request("OPTIONS"), KEY) != transaction_id(request("INVITE"), KEY)


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_txn_14_ack_and_cancel_get_the_id_of_their_invite(method):
    assert transaction_id(request(method), KEY) == transaction_id(request("INVITE"), KEY)


def test_a_cancel_is_a_transaction_beside_its_invite():
    assert cancel_id(request("CANCEL"), KEY) != transaction_id(request("CANCEL"), KEY)


def test_txn_17_the_branch_is_compared_without_case():
    shouted = VIA.replace("z9hG4bKabc", "Z9HG4BKABC")
    assert transaction_id(request(vias=[shouted]), KEY) == transaction_id(request(), KEY)


def test_txn_17_a_branch_of_1_kib_counts_to_its_last_letter():
    one, other = (VIA + "x" * 1024 + last for last in "ab")
    assert transaction_id(request(vias=[one]), KEY) != transaction_id(request(vias=[other]), KEY)


def test_the_id_does_not_depend_on_what_the_receiver_writes_into_the_via():
    for via in (VIA, OLD_VIA, OLD_VIA + ";rport"):
        sent = request(vias=[via])
        stamped = stamp_source(sent, "203.0.113.9", 40000, True)
        assert transaction_id(stamped, KEY) == transaction_id(sent, KEY)


@pytest.mark.parametrize("branch", ["", ";branch=1234", ";branch=z9hG4bK", ";branch=Z9HG4BK"])
def test_txn_16_without_a_cookie_or_with_a_bare_one_the_rules_of_2543_match(branch):
    old = request(vias=[OLD_VIA + branch])
    assert matched_by_2543_rules(old)
    assert transaction_id(old, KEY) != transaction_id(request(vias=[OLD_VIA + branch], call_id="call-2"), KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "sip:carol@example.com"},
        {"sender": "<sip:alice@example.com>;tag=from2"},
        {"call_id": "call-2"},
        {"cseq": 2},
        {"vias": [OLD_VIA + ";hidden"]},
        {"vias": [OLD_VIA + ";branch=1"]},
    ],
)
def test_txn_16_each_field_of_2543_tells_transactions_apart(change):
    assert transaction_id(request(**{"vias": [OLD_VIA], **change}), KEY) != transaction_id(request(vias=[OLD_VIA]), KEY)


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_txn_16_ack_and_cancel_without_a_cookie_find_their_invite(method):
    later = request(method, vias=[OLD_VIA], to="<sip:bob@example.com>;tag=ours")
    assert transaction_id(later, KEY) == transaction_id(request(vias=[OLD_VIA]), KEY)


def test_txn_16_a_from_without_a_tag_is_compared_whole():
    alice, carol = (request(vias=[OLD_VIA], sender=f"<sip:{user}@example.com>") for user in ("alice", "carol"))
    assert transaction_id(alice, KEY) != transaction_id(carol, KEY)


def test_parse_02_a_from_tag_of_2543_is_compared_without_case_and_a_call_id_with_it():
    ids = [
        transaction_id(request(vias=[OLD_VIA], sender=f"<sip:alice@example.com>;tag={tag}", call_id=call_id), KEY)
        for tag, call_id in (("From1", "call"), ("fROM1", "call"), ("From1", "CALL"))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_txn_16_fields_cannot_be_shifted_into_each_other():
    one = request(vias=[OLD_VIA], call_id="a", cseq=11)
    other = request(vias=[OLD_VIA], call_id="a1", cseq=1)
    assert transaction_id(one, KEY) != transaction_id(other, KEY)


# -- branches that we make -----------------------------------------------------------------------------------------


@given(IDS, st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.binary(min_size=4, max_size=4))
def test_prx_28_a_branch_says_what_it_was_made_of(transaction, salt, index, loop):
    token = branch_token(transaction, salt, index, loop.hex().encode())
    assert token.startswith(b"z9hG4bK")
    assert parse_branch(token) == Branch(transaction, salt, index, loop.hex().encode())
    assert parse_branch(token.upper()) == parse_branch(token)


def test_prx_28_who_has_not_the_key_can_guess_no_bit_of_the_64_and_more_that_the_key_makes():
    keys = [bytes([number]) * 32 for number in range(64)]
    made = [int.from_bytes(transaction_id(request(), key)) for key in keys]
    seen = [sum(value >> bit & 1 for value in made) for bit in range(128)]
    assert all(10 < ones < 54 for ones in seen), "each bit is a coin"
    assert all(branch_token(value.to_bytes(16), 1, 0, b"0" * 8)[7:39] == b"%032x" % value for value in made)


@given(st.binary(max_size=70))
def test_parse_branch_survives_anything(text):
    assert parse_branch(text) is None or len(text) == 59


@pytest.mark.parametrize("text", [b"", b"z9hG4bK", b"z9hG4bK" + b"g" * 52, b"z9hG4bK" + b" a" * 26, b"y" * 59])
def test_a_branch_of_somebody_else_is_none_of_ours(text):
    assert parse_branch(text) is None


@pytest.mark.parametrize("index", [-1, 65536])
def test_a_branch_index_that_does_not_fit_is_refused(index):
    with pytest.raises(ValueError, match="16-bit index"):
        branch_token(bytes(16), 0, index, b"00000000")


# -- loops ---------------------------------------------------------------------------------------------------------


def came_back(original, **changes):
    """The request as it would return through us: our Via on top of its own."""
    branch = branch_token(bytes(16), 1, 0, loop_value(original, KEY)).decode()
    return request(vias=[f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch}", VIA], **changes)


def test_prx_10_a_request_that_returns_unchanged_is_looped():
    back = came_back(request(), max_forwards="60")
    assert looped(back, loop_value(back, KEY), IDENTITY)


def test_prx_10_a_loop_is_seen_below_the_vias_of_others():
    back = came_back(request())
    other = "SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKother"
    back = request(vias=[other, *(value.decode() for value in back.values("Via"))])
    assert looped(back, loop_value(back, KEY), IDENTITY)


@pytest.mark.parametrize(
    "form",
    [
        "SIP/2.0/UDP 192.0.2.1:5060;branch={}",
        "SIP / 2.0 / UDP  192.0.2.1 : 5060 ; rport ; BRANCH = {} ;received=192.0.2.1",
        "sip/2.0/udp 192.0.2.1;x=y;branch={}",
    ],
)
def test_prx_10_however_the_via_of_ours_is_written(form):
    branch = branch_token(bytes(16), 1, 0, loop_value(request(), KEY)).decode()
    for token in (branch, branch.upper()):
        for vias in ([form.format(token), VIA], [VIA, form.format(token)], [f"{VIA}, {form.format(token)}"]):
            back = request(vias=vias)
            assert looped(back, loop_value(back, KEY), IDENTITY)


def test_prx_11_a_spiral_is_not_a_loop():
    back = came_back(request(), uri="sip:carol@example.com")
    assert not looped(back, loop_value(back, KEY), IDENTITY)


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "sip:carol@example.com"},
        {"headers": ["Route: <sip:192.0.2.9;lr>"]},
        {"headers": ["Proxy-Require: a"]},
        {"headers": ['Proxy-Authorization: Digest username="a"']},
        {"headers": ['Authorization: Digest username="a"']},
        {"headers": ["X-Served: yes"]},
        {"headers": ["p-asserted-identity : <sip:alice@example.com>"]},
        {"call_id": "call-2"},
        {"cseq": 2},
        {"to": "<sip:bob@example.com>;tag=to1"},
        {"sender": "<sip:alice@example.com>;tag=from2"},
    ],
)
def test_prx_12_the_loop_value_depends_on_what_routing_depends_on(change):
    assert loop_value(request(**change), KEY) != loop_value(request(), KEY)


def test_prx_12_the_loop_value_depends_on_the_callers_extra_input_and_on_the_key():
    assert loop_value(request(), KEY, b"trunk=a") != loop_value(request(), KEY, b"trunk=b")
    assert loop_value(request(), KEY) != loop_value(request(), b"another key of the workers")


def test_prx_12_the_loop_value_does_not_depend_on_method_via_and_max_forwards():
    other = request("OPTIONS", vias=[OLD_VIA, VIA], max_forwards="12", headers=["Record-Route: <sip:192.0.2.9;lr>"])
    assert loop_value(other, KEY) == loop_value(request(), KEY)


def test_prx_12_marks_count_by_name_and_value_whatever_their_order_and_the_body_does_not():
    def value(*headers, body=b""):
        return loop_value(request(headers=headers, body=body), KEY)

    assert value("X-A: 1", "P-B: 2") == value("p-b:2 ", "Subject: x", "x-a : 1")
    assert len({value("X-A: 1"), value("X-A: 2"), value("X-B: 1"), value("X-A: 1", "X-A: 1"), value()}) == 5
    assert value(body=b"v=0\r\nX-A: 1\r\n") == value() == value("Subject: X-A: 1")


def test_sec_02_a_forged_via_naming_us_is_a_loop_only_with_the_value_we_would_make():
    forged = request(vias=["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK" + "0" * 52, VIA])
    assert not looped(forged, loop_value(forged, KEY), IDENTITY)


def test_the_branch_of_another_proxy_with_our_value_is_no_loop():
    original = request()
    branch = branch_token(bytes(16), 1, 0, loop_value(original, KEY)).decode()
    foreign = request(vias=[f"SIP/2.0/UDP 192.0.2.2:5060;branch={branch}", VIA])
    assert not looped(foreign, loop_value(foreign, KEY), IDENTITY)
