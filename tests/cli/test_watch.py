import asyncio
import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from siphon.cli import watch
from siphon.cli.watch import ScriptWatch


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "routes.script"
    path.write_text("x = 1\n")
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "more.py").write_text("")
    return path


def replaced(path, text):
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


CHANGES = {
    "the script is edited in place": lambda place: (place / "routes.script").write_text("x = 22\n"),
    "the script is replaced": lambda place: replaced(place / "routes.script", "x = 1\n"),
    "the script is gone": lambda place: (place / "routes.script").unlink(),
    "a module beside it is edited": lambda place: (place / "helper.py").write_text("y = 1\n"),
    "a module appears": lambda place: (place / "fresh.py").touch(),
    "a module of an include path is edited": lambda place: (place / "include" / "more.py").write_text("z = 1\n"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed_once(script, what):
    watching = ScriptWatch(script, [script.parent / "include"])
    assert not watching.changed()
    CHANGES[what](script.parent)
    assert watching.changed()
    assert not watching.changed()


def test_of_a_script_that_is_a_link_the_modules_beside_its_file_count_too(script, tmp_path):
    (tmp_path / "link").mkdir()
    link = tmp_path / "link" / "routes.py"
    link.symlink_to(script)
    watching = ScriptWatch(link, [])
    (script.parent / "helper.py").write_text("y = 1\n")
    assert watching.changed()
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "routes.py").write_text("x = 1\n")
    link.unlink()
    link.symlink_to(tmp_path / "next" / "routes.py")
    assert watching.changed()
    (tmp_path / "next" / "helper.py").touch()
    assert watching.changed() and not watching.changed()


def test_other_files_are_no_change(script):
    watching = ScriptWatch(script, [script.parent / "none"])
    (script.parent / "notes.txt").touch()
    (script.parent / "include" / "more.py").write_text("z = 1\n")
    assert not watching.changed()


def test_a_settled_change_is_one_signal_to_the_supervisor(script, monkeypatch):
    sent = []
    looks = iter([False, True, True, True, False])
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    def changed():
        try:
            return next(looks)
        except StopIteration:
            raise asyncio.CancelledError from None

    watching = ScriptWatch(script, [])
    monkeypatch.setattr(watching, "changed", changed)
    monkeypatch.setattr(watch.asyncio, "sleep", sleep)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watching.run(4242))
    assert sent == [(4242, signal.SIGHUP)]
    assert pauses == [watch.LOOK_SECS, watch.LOOK_SECS, *[watch.SETTLE_SECS] * 3, watch.LOOK_SECS]


def test_what_a_reload_has_seen_needs_no_other_one(script, tmp_path):
    (tmp_path / "shared").mkdir()
    watching = ScriptWatch(script, [], tmp_path / "shared")
    assert not watching.has_been_read(1)
    script.write_text("x = 22\n")
    ScriptWatch(script, [], tmp_path / "shared").note_read(1)
    assert watching.changed() and watching.has_been_read(1) and not watching.has_been_read(2)
    script.write_text("x = 333\n")
    assert watching.changed() and not watching.has_been_read(1)
    (tmp_path / "shared" / watch.READ).write_text("rubbish")
    assert not watching.has_been_read(1)


def watcher_of(process):
    """The helper that looks whether the script has changed."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(int(pid) for pid in children if "helper timer" in Path(f"/proc/{pid}/cmdline").read_text())


@contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("text", ["from siphon import proxy\n", "broken("])
def test_a_save_and_a_reload_at_once_read_the_script_once(site, text):
    site.configure(('reload = "sighup"', 'reload = "auto"'))
    process = site.start()
    begun = lambda: json.loads((site.shared / "reloads").read_text())["begun"]  # noqa: E731
    with stopped(watcher_of(process)):  # or it may look between the two
        site.script.write_text(text)
        process.send_signal(signal.SIGHUP)
        site.until((site.shared / watch.READ).exists)  # or it may look before the reload has
    site.until(lambda: begun() == 1)
    time.sleep(2 * watch.LOOK_SECS)
    assert begun() == 1
    site.script.write_text("from siphon import proxy\n\n")
    site.until(lambda: begun() == 2)
