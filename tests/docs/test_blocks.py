"""Every block of code in our documents is what it says: scripts load, configurations are accepted, programs run.

The word behind the fence decides: `python` is a routing script, `python run` a program, `python test` a file of tests
for pytest, `toml` a configuration that may leave out what is required. All else is shown to people only, and must be
one of SHOWN, so that nothing slips through.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from siphon.config.load import load
from siphon.config.testing import merged
from siphon.testing.world import World

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
SHOWN = {"sh", "text", "console"}
REQUIRED = {
    "listen": {"udp": ["127.0.0.1:5060"]},
    "domain": {"local": ["example.com"]},
    "script": {"path": "script.py"},
    "server": {"state_dir": "state"},
}

_NAMED = re.compile(r"^`([\w.-]+)`[^\n]*:\n\n```[^\n]*\n(.*?)^```$", re.M | re.S)
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """One block, its document, the line it starts at, and the words behind its fence."""

    document: Path
    line: int
    kind: str
    text: str

    @property
    def name(self) -> str:
        """For people: the document and the line."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        whole = document.read_text()
        for match in _FENCE.finditer(whole):
            line = whole.count("\n", 0, match.start()) + 1
            found.append(Block(document, line, match[1].strip(), match[2]))
    return found


def files_of(page: Path) -> dict[str, str]:
    """What a page says to put into files: "`routing.py`, beside it:" above a block."""
    return dict(_NAMED.findall(page.read_text()))


BLOCKS = blocks()


def of(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [pytest.param(b, id=b.name) for b in BLOCKS if b.kind == kind])


def test_every_block_is_of_a_known_kind():
    known = {"python", "python run", "python test", "toml"} | SHOWN
    assert [f"{block.name}: {block.kind!r}" for block in BLOCKS if block.kind not in known] == []


@of("python")
def test_a_script_loads_and_handles_something(block):
    world = World(block.text, workers=1)
    assert world.workers[0].runtime.methods()
    world.close()


@of("python run")
def test_a_program_runs(block):
    exec(compile(block.text, block.name, "exec"), {"__name__": "__main__"})


@of("python test")
def test_a_file_of_tests_passes(block, tmp_path):
    for name, text in files_of(block.document).items():
        (tmp_path / name).write_text(text)
    file = tmp_path / "test_block.py"
    file.write_text(block.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@of("toml")
def test_a_configuration_is_accepted(block, tmp_path):
    """As it is written, and again completed with what it leaves out."""
    given = tomllib.loads(block.text)
    (tmp_path / "users.toml").write_text('carol = "a password"\n')
    missing = [
        f"{section}.{key} = {value!r}".replace("'", '"')
        for section, keys in REQUIRED.items()
        for key, value in keys.items()
        if key not in given.get(section, {})
    ]
    tables = [f"[{section}]" for section in REQUIRED if section in given]
    text = block.text
    for line in missing:
        section, _, rest = line.partition(".")
        text = (
            text.replace(f"[{section}]\n", f"[{section}]\n{rest}\n", 1)
            if f"[{section}]" in tables
            else f"{line}\n{text}"
        )
    path = tmp_path / "siphon.cfg"
    path.write_text(text)
    assert tomllib.loads(text) == merged(REQUIRED, given)
    assert load(path, {}).listen.udp
