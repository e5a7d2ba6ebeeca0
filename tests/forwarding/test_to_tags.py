"""The To tags that we make: a cipher of the transaction's id."""

import pytest
from forwarding_messages import KEY
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarding.branch import to_tag, transaction_of_tag

IDS = st.binary(min_size=16, max_size=16)


@given(IDS, st.binary(min_size=16, max_size=64))
def test_a_tag_leads_back_to_its_transaction(transaction, key):
    tag = to_tag(transaction, key)
    assert transaction_of_tag(tag, key) == transaction
    assert transaction_of_tag(tag.upper(), key) == transaction


@given(IDS)
def test_prx_32_the_tag_of_a_transaction_is_always_the_same(transaction):
    assert to_tag(transaction, KEY) == to_tag(transaction, KEY)
    assert len(to_tag(transaction, KEY)) == 32


@given(IDS)
def test_the_tag_shows_neither_the_id_nor_the_key(transaction):
    assert to_tag(transaction, KEY) != transaction.hex().encode()
    assert to_tag(transaction, b"another key of the workers") != to_tag(transaction, KEY)


@given(IDS, st.integers(0, 127))
def test_one_changed_bit_of_the_id_changes_both_halves_of_the_tag(transaction, bit):
    changed = (int.from_bytes(transaction) ^ 1 << bit).to_bytes(16)
    one, other = to_tag(transaction, KEY), to_tag(changed, KEY)
    assert one[:16] != other[:16]
    assert one[16:] != other[16:]


@given(st.binary(max_size=40))
def test_transaction_of_tag_survives_anything(tag):
    assert transaction_of_tag(tag, KEY) is None or len(tag) == 32


@pytest.mark.parametrize("tag", [b"", b"z" * 32, b"0" * 31, b" 0" * 16])
def test_the_tag_of_somebody_else_leads_nowhere(tag):
    assert transaction_of_tag(tag, KEY) is None
