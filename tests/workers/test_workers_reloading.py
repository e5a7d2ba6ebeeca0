"""A reload from its beginning to its end, as whoever waits for it sees it."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_fakes import Echo, Instance, note, until, wait_for

from workers import reloading
from workers.application import Flag
from workers.options import Progress

Start = Callable[..., Instance]


class Slow(Echo):
    """Takes its time for some payloads, and cannot switch to others."""

    def reload(self, payload: bytes) -> None:
        note(f"worker {self.context.slot} begins to switch")
        word, *facts = payload.split()
        if word == b"wait" and self.context.generation <= int(facts[1]):
            wait_for(Path(facts[0].decode()))
        if payload == b"bad":
            raise ValueError("on purpose")
        super().reload(payload)


def tell(progress: Progress) -> None:
    note(f"progress {progress.begun} {progress.ended} {progress.error or '-'}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "payload"


@pytest.fixture
def instance(start: Start, source: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setattr(reloading, "SWITCH_SECS", 120.0)
    return start(count=2, make=Slow, validate=source.read_bytes, reloading=tell, idle=lambda: False)


def reload(instance: Instance, source: Path, payload: bytes) -> None:
    source.write_bytes(payload)
    instance.send_signal(signal.SIGHUP)


def waiting(source: Path, generations: int = 9) -> bytes:
    """A payload to which the first generations of a process do not switch before let_go()."""
    return f"wait {source}.go {generations}".encode()


def let_go(source: Path) -> None:
    Path(f"{source}.go").touch()


def test_it_ends_when_the_last_process_has_switched(instance: Instance, source: Path) -> None:
    reload(instance, source, waiting(source))
    instance.until_noted("progress 1 0 -")
    let_go(source)
    instance.until_noted("progress 1 1 -")
    assert instance.noted().index("info reloaded") > instance.noted().rindex(" reloads")
    assert instance.noted().count(" reloads") == 3


def test_a_process_that_cannot_switch_is_named(instance: Instance, source: Path) -> None:
    reload(instance, source, b"bad")
    instance.until_noted("progress 1 1 reloaded, but not in all processes: ")
    assert "worker 2/2 could not switch: ValueError('on purpose')" in instance.noted()


def test_a_process_that_is_killed_while_it_switches_has_switched_when_it_is_back(
    instance: Instance, source: Path
) -> None:
    reload(instance, source, waiting(source, 1))
    instance.until_noted("worker 0 begins to switch")
    instance.kill(0)
    instance.until_noted("worker 0 reloads")
    let_go(source)
    instance.until_noted("progress 1 1 -")
    assert instance.noted().count("worker 0 begins to switch") == 2
    assert instance.noted().count("worker 0 reloads") == 1


def test_who_takes_too_long_is_named_and_the_next_reload_may_begin(
    monkeypatch: pytest.MonkeyPatch, start: Start, source: Path
) -> None:
    monkeypatch.setattr(reloading, "SWITCH_SECS", 0.2)
    instance = start(count=2, make=Slow, validate=source.read_bytes, reloading=tell)
    reload(instance, source, waiting(source))
    instance.until_noted("progress 1 1 reloaded, but not in all processes: ")
    assert "worker 1/2 has not switched yet" in instance.noted()
    let_go(source)
    reload(instance, source, b"go on")
    instance.until_noted("progress 2 2 ")
    until(lambda: {instance.ask_from_new_port("version").split()[1] for _ in range(20)} == {"on"}, "the last version")


def test_of_several_that_are_asked_for_while_one_runs_one_follows(instance: Instance, source: Path) -> None:
    reload(instance, source, waiting(source, 1))
    instance.until_noted("worker 0 begins to switch")
    for _ in range(3):
        reload(instance, source, b"last")
    instance.kill(1)  # what the supervisor says of it shows that it has heard the signals
    instance.until_noted("worker 2/2 died")
    let_go(source)
    instance.until_noted("progress 2 2 -")
    assert "progress 3" not in instance.noted()
    assert instance.ask("version").split()[0] == "last"


def test_while_it_drains_a_reload_is_refused(instance: Instance, source: Path) -> None:
    instance.send_signal(signal.SIGTERM)
    until(lambda: instance.slots.flags & Flag.DRAINING, "the drain")
    reload(instance, source, b"late")
    instance.until_noted("progress 1 1 siphond is about to stop")
    assert instance.ask("version").split()[0] == "first"
