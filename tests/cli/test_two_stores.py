"""Bindings in one Redis and transactions in another: both must be those of the same nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis_servers import Server, server

LAYOUT, SECRET = "siphon:{s00}:layout", "siphon:{s00}:secret"


@pytest.fixture
def stores(site) -> Iterator[list[Server]]:
    """Of the bindings and of the transactions of the site."""
    with server() as location, server() as transactions:
        url = "redis://127.0.0.1:"
        lines = f'location = "{url}{location.port}"\ntransactions = "{url}{transactions.port}"\n'
        site.configure(("[shared]\n", f"[shared]\n{lines}"))
        yield [location, transactions]


def test_two_redis_with_different_secrets_are_refused(site, stores: list[Server]) -> None:
    for number, store in enumerate(stores):
        store.client().set(LAYOUT, "1")
        store.client().set(SECRET, bytes([number]) * 32)
    done = site.siphond()
    assert done.returncode == 78 and done.stderr == (
        "shared.location and shared.transactions: the two Redis hold different secrets, so they serve two groups of "
        "nodes; all nodes of a group name the same two: give this one the other Redis, or another database\n"
    )


def test_what_transactions_have_agreed_on_is_offered_to_a_new_redis_of_bindings(site, stores: list[Server]) -> None:
    stores[1].client().set(LAYOUT, "1")
    stores[1].client().set(SECRET, bytes(32))
    site.start()
    assert [store.client().get(SECRET) for store in stores] == [bytes(32)] * 2


def test_another_layout_of_transactions_is_refused_by_its_name(site, stores: list[Server]) -> None:
    stores[1].client().set(LAYOUT, "77")
    done = site.siphond()
    assert done.returncode == 78 and done.stderr.startswith(
        "shared.transactions: the state under 'siphon:' in Redis has"
    )
