"""Putting addresses of record back that were kept elsewhere: what is there then, under which secret whatever."""

import os

import pytest
from desk import ALICE, WALL, Desk
from hypothesis import given
from hypothesis import strategies as st

from siphon.services.location import Event, Location
from siphon.services.location.index import OWNER as HINTS
from siphon.services.location.restore import Fate, Restoration
from siphon.state.memory import MemoryTable

BOB = "sip:bob@example.com"
OTHER_SECRET = b"another".ljust(32)


def kept(desk):
    """[(value, deadline)]: what a journal has of a table."""
    keys, _ = desk.table.keys(100000)
    heads = [(key, desk.table.head(key)) for key in keys]
    return [(desk.table.get(key)[1], head.next_deadline) for key, head in heads if head.owner != HINTS]


def restored(found, *, wall=WALL, secret=OTHER_SECRET, table=None, tells=False):
    """A desk over a new table, and what came of it."""
    desk = Desk(table)
    done = Restoration(desk.table, secret, desk.settings.registrar.max_expires, tells)
    for value, deadline in found:
        done.put(value, deadline, wall)
    desk.location = Location(desk.table, desk.location.identity, desk.settings, secret)
    desk.wall = wall
    return desk, done


def test_shared_25_everything_of_a_binding_is_back_under_another_secret():
    desk = Desk()
    instance = '"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
    desk.register(
        f"<sip:alice@192.0.2.7:5062;ob>;q=0.7;+sip.instance={instance};reg-id=1;expires=600;audio",
        path="<sip:edge.example.com;lr>",
        supported="path, gruu, outbound",
        flow_token="token-1",
    )
    desk.register("<sip:alice@192.0.2.9>;q=0.2;expires=300", call_id="call-2")
    new, done = restored(kept(desk))
    assert new.lookup() == desk.lookup() and len(new.lookup()) == 2
    assert new.location.lookup_by_token("token-1", WALL) == desk.lookup()[0]
    assert new.location.lookup_contact("sip:alice@192.0.2.9", WALL) == [(ALICE, desk.lookup()[1])]
    assert new.location.count(WALL) == 1
    assert (done.bindings, done.records) == (2, {Fate.BACK: 1})


def test_a_refresh_and_a_removal_work_on_what_is_back():
    desk = Desk()
    desk.register("<sip:alice@192.0.2.7>", cseq=5)
    new, _ = restored(kept(desk))
    assert not new.register("<sip:alice@192.0.2.7>;q=0.1", cseq=4).ok
    assert new.lookup() == desk.lookup()
    assert new.register("<sip:alice@192.0.2.7>;expires=0", cseq=6).ok
    assert new.lookup() == []


def test_aliases_uris_and_routes_are_back():
    desk = Desk()
    desk.register("<sip:alice@192.0.2.7>", aliases=["sip:+4930@example.com"])
    desk.location.set_associated_uris(ALICE, [ALICE, "tel:+4930"], WALL)
    desk.location.set_service_routes(BOB, ["<sip:route@example.com;lr>"], WALL)
    new, _ = restored(kept(desk))
    assert new.uris("sip:+4930@example.com") == ["sip:alice@192.0.2.7"]
    assert new.location.associated_uris(ALICE) == [ALICE, "tel:+4930"]
    assert new.location.service_routes(BOB) == ["<sip:route@example.com;lr>"]


def test_what_a_script_stored_without_bindings_lives_no_longer_than_it_would_have():
    desk = Desk()
    desk.location.set_service_routes(BOB, ["<sip:r@example.com>"], WALL)
    (_, deadline) = kept(desk)[0]
    new, _ = restored(kept(desk), wall=deadline - 1)
    assert kept(new)[0][1] == deadline
    new, done = restored(kept(desk), wall=deadline)
    assert kept(new) == [] and done.records == {Fate.EXPIRED: 1}


def test_what_has_expired_by_wall_time_is_left_out():
    desk = Desk()
    desk.register("<sip:alice@192.0.2.7>;expires=600")
    desk.register("<sip:alice@192.0.2.9>;expires=3600")
    desk.register("<sip:bob@192.0.2.8>;expires=600", to=f"<{BOB}>")
    new, done = restored(kept(desk), wall=WALL + 601)
    assert new.uris() == ["sip:alice@192.0.2.9"] and new.uris(BOB) == []
    assert (done.bindings, done.records) == (1, {Fate.BACK: 1, Fate.EXPIRED: 1})


def test_on_change_is_told_of_what_expired_meanwhile_and_of_what_waited():
    desk = Desk()
    told = []
    desk.location.tell = told.append
    desk.register("<sip:bob@192.0.2.8>;expires=600", to=f"<{BOB}>")
    desk.register("<sip:alice@192.0.2.7>;expires=3600")
    new, _ = restored(kept(desk), wall=WALL + 700, tells=True)
    new.location.tell = told.append
    seen = {}
    for key in new.location.changed_keys():
        while (change := new.location.begin_change(key, new.wall)) is not None:
            seen.setdefault(change.aor, []).append((change.event, len(change.bindings)))
            new.location.delivered(key, change.number, new.wall)
    assert seen == {BOB: [(Event.REGISTERED, 0), (Event.EXPIRED, 0)], ALICE: [(Event.REGISTERED, 1)]}
    assert restored(kept(desk), wall=WALL + 700)[0].location.changed_keys() == []


def test_of_two_records_of_an_address_of_record_the_first_stays():
    old, new = Desk(), Desk()
    old.register("<sip:alice@192.0.2.1>")
    new.register("<sip:alice@192.0.2.2>")
    desk, done = restored([*kept(new), *kept(old)])
    assert desk.uris() == ["sip:alice@192.0.2.2"] and done.records[Fate.KNOWN] == 1


def test_a_full_table_takes_as_many_as_fit_and_the_rest_is_counted():
    desk = Desk()
    for number in range(50):
        desk.register(f"<sip:u{number}@192.0.2.7>", to=f"<sip:u{number}@example.com>")
    new, done = restored(kept(desk), table=MemoryTable(records=40, blocks=4000, reserve_records=4))
    assert done.bindings == done.records[Fate.BACK] == new.location.count(WALL) >= 15
    assert done.records[Fate.BACK] + done.records[Fate.NO_ROOM] == 50
    assert new.table.stats().records <= 36, "the reserve is left to refreshes"


@pytest.mark.parametrize("value", [b"", b"\x93", os.urandom(300), b"\xc0"])
def test_what_cannot_be_read_is_counted_and_left_out(value):
    new, done = restored([(value, WALL)])
    assert done.records == {Fate.DAMAGED: 1} and kept(new) == []


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(value):
    restored([(value, WALL)])
