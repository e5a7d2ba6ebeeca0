"""Editors and mypy check scripts: `from siphon import ...` has types (`py.typed`, `siphon/__init__.pyi`)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from script_kit import Bench

import siphon
from siphon.script.sdp import Sdp
from siphon.script.timer import TimerHandle
from siphon.services.media.sdp import MediaSection

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGHT, WRONG = HERE / "typed_script.py", HERE / "wrongly_typed_script.py"
CHECKED = (
    "proxy",
    "registrar",
    "auth",
    "timer",
    "log",
    "sdp",
    "Request",
    "Reply",
    "SipUri",
    "Contact",
    "Destination",
    "Flow",
)
OTHER = {"scheme", "subscribe_state", "listener", "of", "spec", "target", "on_register_reply", "keep_codecs"}
"""Not of sections 5 to 12, not for scripts, or shown in another form."""


def errors(directory: Path, *scripts: Path) -> dict[str, list[tuple[int, str]]]:
    """{file: [(line, code)]}: what mypy --strict says of scripts that lie anywhere, with siphond installed."""
    for script in scripts:
        shutil.copy(script, directory / script.name)
    names = [script.name for script in scripts]
    cache = ROOT / ".mypy_cache" / "scripts"
    line = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-pretty",
        "--cache-dir",
        str(cache),
        "--config-file=",
        *names,
    ]
    done = subprocess.run(line, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for name, number, code in re.findall(r"^(\S+?):(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.M):
        found.setdefault(name, []).append((int(number), code))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return errors(tmp_path_factory.mktemp("scripts"), RIGHT, WRONG)


def test_a_script_that_uses_every_member_rightly_has_no_error(found):
    assert found[RIGHT.name] == []


def test_each_wrong_use_is_an_error_on_its_line_and_nothing_else_is(found):
    marks = ((number, line.partition("# E: ")[2]) for number, line in enumerate(WRONG.read_text().splitlines(), 1))
    assert sorted(found[WRONG.name]) == [(number, code) for number, codes in marks for code in codes.split()]


def test_no_other_file_has_an_error(found):
    assert set(found) == {RIGHT.name, WRONG.name}


def members():
    owners = [(name, getattr(siphon, name)) for name in CHECKED]
    owners += [("TimerHandle", TimerHandle), ("Sdp", Sdp), ("MediaSection", MediaSection)]
    for title, owner in owners:
        for name in dir(owner):
            missing = getattr(getattr(owner, name), "__doc__", None) == "Not offered."
            if not name.startswith("_") and name not in OTHER and not missing:
                yield f"{title}.{name}"


@pytest.mark.parametrize("member", sorted(members()))
def test_the_script_uses_every_member(member):
    assert re.search(rf"\.{member.partition('.')[2]}\b", RIGHT.read_text())


def test_the_script_loads(tmp_path):
    shutil.copy(RIGHT, tmp_path / "script.py")
    bench = Bench(tmp_path, path=tmp_path / "script.py")
    assert len(bench.runtime.handlers("timer.every")) == 2
    assert len(bench.runtime.handlers("proxy.on_request")) == 3
