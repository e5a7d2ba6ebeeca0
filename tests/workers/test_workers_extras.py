"""Helpers with an application of their own (supervisor.Extra), as real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from worker_fakes import SLOTS, Echo, Instance, is_running, title_of, until

from workers.application import Counter
from workers.supervisor import Extra

Start = Callable[..., Instance]
SLOT = SLOTS - 2


class Clerk(Echo):
    """Does as files in its directory say: blocks in a handler while `block` is there."""

    place: Path

    def tick(self, now: float) -> float | None:
        if (self.place / "block").exists():
            self.context.enter_handler(now)
            signal.pause()
        return now + 0.02


def clerk(place: Path, wanted: Callable[[], bool] = lambda: True) -> Extra:
    def make() -> Clerk:
        made = Clerk()
        made.place = place
        return made

    return Extra("clerk", make, wanted)


def pid_of(instance: Instance) -> int:
    return instance.slots.read(SLOT).pid


def test_an_extra_has_a_slot_a_title_and_is_forked_again_when_it_dies(start: Start, tmp_path: Path) -> None:
    instance = start(count=2, extras=[clerk(tmp_path)])
    pid = pid_of(instance)
    assert title_of(pid) == "siphond: helper clerk"
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid_of(instance) not in (0, pid), "another process")
    assert instance.slots.counter(SLOT, Counter.RESTARTS) == 1
    assert f" adopts {SLOT}" not in instance.noted()


def test_an_extra_that_blocks_in_a_handler_is_ended_after_the_limit_of_handlers(start: Start, tmp_path: Path) -> None:
    instance = start(count=1, extras=[clerk(tmp_path)], handler_stall_abort_secs=0.5)
    pid = pid_of(instance)
    (tmp_path / "block").touch()
    until(lambda: instance.slots.read(SLOT).in_handler_since, "a handler")
    (tmp_path / "block").unlink()
    until(lambda: pid_of(instance) not in (0, pid), "another process")
    assert "helper clerk is stuck: a handler has not returned" in instance.noted()
    instance.until_served_by(0)


def test_an_extra_is_there_from_the_reload_on_that_wants_it(start: Start, tmp_path: Path) -> None:
    def wanted() -> bool:
        return (tmp_path / "wanted").exists()

    instance = start(count=1, extras=[clerk(tmp_path, wanted)], validate=lambda: b"second")
    assert pid_of(instance) == 0
    (tmp_path / "wanted").touch()
    instance.send_signal(signal.SIGHUP)
    pid = until(lambda: pid_of(instance), "the extra")
    instance.until_noted(f"worker {SLOT} reloads")
    instance.send_signal(signal.SIGTERM)
    assert instance.wait() == 0
    assert not is_running(pid)
