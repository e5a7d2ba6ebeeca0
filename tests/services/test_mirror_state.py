"""What the mirror tells the other processes, and how versions of the store are written."""

import os

import pytest

from siphon.services.location.binding import AddressRecord, stored_version
from siphon.services.location.mirror import _follows
from siphon.services.location.mirror_state import (
    MirrorState,
    epoch_of,
    number_of,
    version_from,
    version_of,
    version_text,
)


def test_a_version_is_read_as_it_is_written_and_grows():
    for epoch, number in ((1, 1), (1, 2), (3, 17), (4, 1)):
        version = version_of(epoch, number)
        assert (epoch_of(version), number_of(version)) == (epoch, number)
        assert version_from(version_text(version)) == version
    assert version_of(4, 1) > version_of(3, 1 << 30)
    assert version_from(b"") == 0 and version_text(0) == b""


@pytest.mark.parametrize("text", [b"x", b"1", b"1-", b"-1", b"1-x", b"99999999-1", b"1-9999999999999", b"\xff-\xff"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(ValueError, match="not a version"):
        version_from(text)


def test_changes_follow_each_other_also_into_a_new_epoch():
    assert _follows(version_of(3, 17), version_of(3, 18))
    assert _follows(version_of(3, 17), version_of(4, 18))
    assert _follows(0, version_of(1, 1))
    assert not _follows(version_of(3, 17), version_of(3, 19))
    assert not _follows(version_of(3, 17), version_of(4, 1)), "the store has lost all and begun anew"
    assert not _follows(version_of(3, 17), version_of(2, 18))


def test_what_one_process_writes_another_reads():
    state = MirrorState()
    assert state.store_time(5.0, 77.0) == 77.0, "the store's time is not known"
    child = os.fork()
    if not child:
        state.set_position(63, version_of(2, 9))
        state.set_difference(1.5e9)
        state.ready = True
        state.secret_changed()
        os._exit(0)
    os.waitpid(child, 0)
    assert state.ready and state.secret == 1
    assert state.position(63) == version_of(2, 9) and state.position(0) == 0
    assert state.store_time(5.0, 77.0) == 1.5e9 + 5.0


def test_a_record_carries_the_version_that_it_mirrors():
    plain = AddressRecord("sip:a@example.com", associated_uris=("sip:b@example.com",))
    assert stored_version(plain.to_bytes()) == 0
    mirrored = AddressRecord("sip:a@example.com", associated_uris=("sip:b@example.com",), stored=version_of(3, 4))
    assert stored_version(mirrored.to_bytes()) == version_of(3, 4)
    assert AddressRecord.from_bytes(mirrored.to_bytes()) == mirrored
    assert AddressRecord.from_bytes(plain.to_bytes()) == plain
