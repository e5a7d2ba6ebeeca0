import os
import time
from itertools import count
from pathlib import Path

import pytest

from shm.table import Table
from siphon.cli import memory
from siphon.cli.exits import Exit, Refusal
from siphon.cli.tables import shape
from siphon.config.load import load
from siphon.config.settings import MAX_WORKERS
from siphon.config.testing import settings_for_tests
from siphon.services.location import Location, RegisterFacts
from siphon.sip.identity import Identity, Listener

CONTAINER_BYTES = 64 << 20
IDENTITY = Identity([Listener(0, "udp", "127.0.0.1", 5060)], domains=["example.com"])
CSEQS = count(1)
SLOTS_BYTES = 256 << 10
"""The file of the slots, with room."""


def sizes(**shared):
    return {table.name: table for table in memory.need(settings_for_tests(shared=shared))}


def test_tables_follow_from_the_settings_alone():
    assert sizes() == sizes()
    assert sizes(max_transactions=2048)["transactions"].size > sizes()["transactions"].size
    assert sizes(max_transactions=2048)["location"] == sizes()["location"]


def test_the_reserve_holds_a_largest_record_for_every_worker():
    settings = settings_for_tests(workers={"count": 8}, shared={"max_transactions": 64, "record_bytes": 65536})
    transactions = memory.need(settings)[0]
    assert transactions.reserve_blocks >= 8 * 65536 // 512
    assert transactions.blocks >= transactions.reserve_blocks + 64 * 3


def test_bindings_and_nonces_live_by_the_wall_clock_transactions_and_timers_do_not():
    assert {name: table.wall_expiry for name, table in sizes().items()} == {
        "transactions": False,
        "location": True,
        "nonces": True,
        "dialogs": True,
        "timers": False,
        "media": False,
        "hints": True,
        "limits": False,
        "bans": True,
        "metrics": False,
        "caches": False,
        "gateways": False,
        "cdrs": True,
    }


def test_every_allowed_number_of_workers_has_a_slot():
    assert MAX_WORKERS + 6 <= memory.SLOTS  # and the helpers


def test_too_little_shared_memory_is_said_before_anything_is_made(tmp_path, monkeypatch):
    settings = settings_for_tests(shared={"path": str(tmp_path / "none" / "shared")})
    memory.require_room(settings)
    monkeypatch.setattr(memory, "free_bytes", lambda place: 1 << 20)
    with pytest.raises(Refusal) as caught:
        memory.require_room(settings)
    assert caught.value.status == Exit.NO_SHARED_MEMORY
    assert "no shared memory: the tables need" in str(caught.value)
    assert f"{tmp_path} has 1.0 MB free; lower shared.max_transactions (now 1024)" in str(caught.value)


def test_tables_that_are_there_already_count_as_room(tmp_path, monkeypatch):
    settings = settings_for_tests(shared={"path": str(tmp_path)})
    for table in memory.need(settings):
        (tmp_path / table.name).write_bytes(bytes(table.size))
    monkeypatch.setattr(memory, "free_bytes", lambda place: 1 << 20)
    memory.require_room(settings)


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 kB"), (1536, "1.5 kB"), (3 << 20, "3.0 MB"), (5 << 30, "5.0 GB")])
def test_sizes_are_written_for_people(size, text):
    assert memory.megabytes(size) == text


@pytest.mark.parametrize("workers", [1, MAX_WORKERS])
def test_the_example_configuration_fits_into_the_shared_memory_of_a_container(workers):
    example = Path(__file__).parents[2] / "etc" / "siphon.cfg"
    settings = load(example, {})
    settings = settings.model_copy(update={"workers": settings.workers.model_copy(update={"count": workers})})
    room = 64 << 20  # what docker gives /dev/shm unless told otherwise
    assert sum(table.size for table in memory.need(settings)) + (1 << 20) < room  # the slots and the state beside them


@pytest.mark.parametrize("bindings", [16, 300, 1500])
def test_max_bindings_contacts_fit_each_of_an_address_of_its_own(tmp_path, bindings):
    """Contacts as phones write them, with an instance."""
    settings = settings_for_tests(shared={"max_bindings": bindings})
    (size,) = (table for table in memory.need(settings) if table.name == "location")
    table = Table.create(tmp_path / size.name, **shape(size, bytes(16)))
    location = Location(table, IDENTITY, settings, b"k" * 32)
    for number in (*range(bindings), 0, bindings - 1):
        assert location.save(facts(number), time.time()).status == 200
    assert location.count(time.time()) == bindings
    refused = next(n for n in range(bindings, 5 * bindings) if location.save(facts(n), time.time()).status == 503)
    assert refused < 2 * bindings and location.save(facts(3), time.time()).status == 200


def facts(number):
    return RegisterFacts(
        aor=f"sip:u{number:07}@example.com",
        aor_user=f"u{number:07}",
        aor_host="example.com",
        aor_is_ours=True,
        call_id=f"{number:08x}-4f2a-11ee-9c1d-0242ac120002@192.0.2.1",
        cseq=next(CSEQS),
        transaction=os.urandom(16),
        source=("192.0.2.1", 5060),
        local=("192.0.2.9", 5060),
        contacts=(contact(number),),
    )


def contact(number):
    uri = f"<sip:u{number:07}@192.0.2.1:5060;transport=udp;rinstance={number:016x}>"
    return f'{uri};+sip.instance="<urn:uuid:00000000-0000-1000-8000-{number:012x}>";expires=600'.encode()
