"""Each fuzz target on the production build, with mutations drawn from a fixed seed (docs/fuzzing.md)."""

import pytest

from fuzz import plain
from fuzz.targets import NAMES, target

RUNS = {"message": 15000, "reference": 4000, "uri": 20000, "edits": 20000, "digest": 4000, "dns": 2000, "engine": 3000}
RUNS |= {"media": 10000, "register": 6000}
FLAT = 4 << 20
"""What the memory of a run may grow by after its first tenth."""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "record"])
def test_the_invariant_of_a_target_holds_and_memory_stays_flat(name: str) -> None:
    tried = plain.run(target(name), RUNS[name])
    assert tried.inputs == RUNS[name] and tried.growth < FLAT


def test_sec_17_damaged_records_are_refused_or_are_records() -> None:
    tried = plain.run(target("record"), 15000)
    assert tried.inputs == 15000 and tried.growth < FLAT


def test_sec_11_no_datagram_takes_50_ms_of_cpu() -> None:
    assert 0 < plain.run(target("engine"), 600, seed=2).slowest < 0.05


def test_a_target_that_does_not_hold_names_its_input() -> None:
    def check(data: bytes) -> None:
        if b"\0" in data:
            raise IndexError("planted")

    broken = plain.Target("broken", "No NUL.", lambda: check, lambda: [b"one", b"two"], 100)
    with pytest.raises(plain.Failed) as raised:
        plain.run(broken, 10000)
    assert b"\0" in raised.value.input and isinstance(raised.value.__cause__, IndexError)


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, second = (list(plain.inputs(target("message"), 500, seed)) for seed in (7, 7))
    assert first == second != list(plain.inputs(target("message"), 500, 8))
