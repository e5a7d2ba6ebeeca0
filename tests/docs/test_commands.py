"""Every command that our documents show exists: the programs, their subcommands and options, the files that are run.

What they do is tested elsewhere; here a name that was changed or mistyped is found.
"""

import re
import shlex
from pathlib import Path

import click
import pytest
from test_blocks import BLOCKS, DOCUMENTS, Block

from siphon.cli.siphonctl import command as siphonctl
from siphon.cli.siphond import command as siphond

ROOT = Path(__file__).resolve().parents[2]
OURS = {"siphond": siphond, "siphonctl": siphonctl}
DEV = set(re.findall(r"^#   \./dev (\w[\w-]*)", (ROOT / "dev").read_text(), re.M))
OTHERS = {
    *("sudo", "git", "cd", "pip", "sh", "export", "kill", "cp", "mkdir", "cat", "unshare"),
    *("systemctl", "journalctl", "redis-cli", "redis-server", "keepalived", "ip", "sysctl", "mysql", "docker"),
    *("sipp", "tshark", "valgrind", "perf", "rtpengine", "pytest", "curl"),
}


def commands() -> list[tuple[Block, list[str]]]:
    """Of all blocks of kind sh: a line is one command, up to a pipe, `&&` or `;`."""
    found = []
    for block in BLOCKS:
        if block.kind == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                found.extend((block, one) for one in _parts(words))
    return found


def mentioned() -> list[tuple[Path, list[str]]]:
    """Of the text between blocks: `siphonctl reload`, `./dev sim --seeds 1000`."""
    found = []
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)
        for match in re.finditer(r"`((?:siphonctl|siphond|\./dev) [^`\n]+)`", text):
            if "..." not in match[1]:
                found.append((document, shlex.split(match[1])))
    return found


def _parts(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ";", "||", "&", "done", "do"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in map(_bare, parts) if part]


def _bare(words: list[str]) -> list[str]:
    """Without sudo, variables before the command, and where its output goes."""
    while words and (words[0] == "sudo" or re.match(r"\w+=", words[0])):
        words = words[1:]
    return [word for word in words if not re.match(r"\d?[<>]", word)]


COMMANDS = commands()


def test_there_are_commands():
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("block, words", [pytest.param(b, w, id=f"{b.name}-{' '.join(w)[:60]}") for b, w in COMMANDS])
def test_a_command_that_is_shown_exists(block, words):
    program = words[0].rpartition("/")[2]
    if words[0] == "./dev":
        assert words[1] in DEV
    elif program in OURS:
        parse(OURS[program], words[1:])
    elif program.startswith("python"):
        runs(words[1:])
    elif "/" in words[0]:
        assert (ROOT / words[0]).exists()
    else:
        assert program in OTHERS, f"{block.name}: {program}"


MENTIONED = mentioned()


@pytest.mark.parametrize(
    "words", [pytest.param(w, id=f"{d.relative_to(ROOT)}-{' '.join(w)[:60]}") for d, w in MENTIONED]
)
def test_a_command_in_the_text_exists(words):
    if words[0] == "./dev":
        assert words[1] in DEV
    else:
        parse(OURS[words[0]], words[1:])


def runs(words: list[str]) -> None:
    """A file of ours, or a module."""
    if words[0] == "-m":
        assert words[1] == "pytest" or any(
            (ROOT / (words[1].replace(".", "/") + end)).exists() for end in (".py", "/__main__.py", "/__init__.py")
        )
    elif words[0] != "-c":
        assert (ROOT / words[0]).exists(), words[0]


def parse(command: click.Command, words: list[str]) -> None:
    """Options and subcommands as click sees them; N is a number, a word in capitals stands for a value."""
    words = ["1" if word == "N" else word for word in words]
    try:
        context = command.make_context(command.name, list(words))
        while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
            name, found, words = command.resolve_command(context, rest)
            assert found is not None, name
            command = found
            context = command.make_context(name, list(words), parent=context)
    except click.exceptions.Exit:
        pass
    except click.BadParameter as error:
        said = error.format_message()
        assert error.param is not None and ("exist" in said or re.search(r"'[A-Z]+' is not", said)), said
