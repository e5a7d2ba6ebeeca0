"""Whether new work is taken, and random bits: what each request asks of its process."""

from types import SimpleNamespace
from typing import Any

import pytest

from shm.slots import Slots
from siphon.engine._gate import Gate
from siphon.engine._random_bits import RandomBits
from workers.application import REFUSING, Flag


def gate(tmp_path, mirror: Any = None, far: Any = None) -> tuple[Gate, Slots, SimpleNamespace, SimpleNamespace]:
    slots = Slots.create(tmp_path / "slots")
    driver, secrets = SimpleNamespace(pending=0), SimpleNamespace(pending=0)
    made = Gate(slots, REFUSING, mirror, far, 1, driver, secrets)
    made.configure(3)
    return made, slots, driver, secrets


@pytest.mark.parametrize("flag", [Flag.DRAINING, Flag.STATE_BEHIND])
def test_a_flag_of_the_instance_refuses_new_work_until_it_is_lowered(tmp_path, flag):
    made, slots, _, _ = gate(tmp_path)
    assert not made.refusing()
    slots.raise_flags(int(flag))
    assert made.refusing() and not made.overloaded()
    slots.lower_flags(int(flag))
    assert not made.refusing()


def test_an_instance_that_still_starts_takes_new_work(tmp_path):
    made, slots, _, _ = gate(tmp_path)
    slots.raise_flags(int(Flag.STARTING))
    assert not made.refusing()


def test_a_secret_that_has_changed_refuses_new_work(tmp_path):
    mirror = SimpleNamespace(secret=1)
    made, *_ = gate(tmp_path, mirror)
    assert not made.refusing()
    mirror.secret = 2
    assert made.refusing()


def test_handlers_and_secrets_that_wait_fill_one_queue(tmp_path):
    made, _, driver, secrets = gate(tmp_path)
    driver.pending, secrets.pending = 1, 1
    assert not made.overloaded()
    secrets.pending = 2
    assert made.overloaded() and not made.refusing()
    made.configure(4)
    assert not made.overloaded()


def test_a_far_store_that_is_behind_takes_nothing(tmp_path):
    far = SimpleNamespace(takes_work=True)
    made, *_ = gate(tmp_path, None, far)
    assert not made.overloaded()
    far.takes_work = False
    assert made.overloaded()


def test_random_bits_are_drawn_once(monkeypatch):
    drawn = []

    def urandom(count: int) -> bytes:
        drawn.append(count)
        return bytes(range(256)) * (count // 256)

    monkeypatch.setattr("os.urandom", urandom)
    bits = RandomBits()
    assert [bits(32), bits(8), bits(16)] == [0x00010203, 0x04, 0x0506]
    for _ in range(4096 // 16):
        bits(128)
    assert drawn == [4096, 4096]


def test_more_bits_than_are_drawn_at_a_time_are_refused():
    bits = RandomBits()
    assert 0 <= bits(32768) < 1 << 32768
    with pytest.raises(ValueError, match="4097 random bytes"):
        bits(32776)
    with pytest.raises(ValueError, match="0 random bytes"):
        bits(0)
