"""What may and must stand in the files of this project."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Written in two halves, so that this file does not find itself.
FOREIGN = {
    "a path of somebody's machine": r"/wo" r"rk/|/ro" r"ot/\.|/ho" r"me/\w+/",
    "a file beside the checkout": r"\.\./sha" r"red",
    "a registry's host": r"pyp" r"i\.org|python" r"hosted|deb\.deb" r"ian|registry\.np" r"mjs",
}


def tracked() -> list[Path]:
    """Files that are or can be committed."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(what):
    pattern = re.compile(FOREIGN[what])
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_nothing_that_is_built_or_kept_at_run_time_is_committed():
    line = ["git", "ls-files", "--", "*.so", "*_cy.c", "var", "build", ".venv", "*.egg-info", "*.pyc"]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""


def test_what_a_person_starts_is_executable():
    for name in ("dev", ".ci/run", "deploy/install.sh", "deploy/uninstall.sh", "deploy/ha-demo/sipcli.py"):
        assert os.access(ROOT / name, os.X_OK), name


def project() -> dict[str, object]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(content, dict)
    return content


def test_the_programs_that_the_package_names_exist():
    for target in project()["scripts"].values():
        module, _, function = target.partition(":")
        text = (ROOT / (module.replace(".", "/") + ".py")).read_text()
        assert re.search(rf"^(def {function}\(|{function} =)", text, re.M), target


def commands_of(path: Path) -> list[str]:
    """The command lines of a document's fenced blocks of shell."""
    blocks = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", path.read_text(), re.M | re.S)
    lines = [line for kind, block in blocks if kind in ("", "sh", "console", "shell") for line in block.splitlines()]
    return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]


def test_the_readme_opens_with_the_two_commands():
    assert [line.split("#")[0].strip() for line in commands_of(ROOT / "README.md")][:2] == ["./dev run", "./dev test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_exist(document):
    known = set(re.findall(r"^([\w| -]+)\)$", (ROOT / "dev").read_text(), re.M))
    known = {name for names in known for name in names.split(" | ")}
    for line in commands_of(document):
        words = line.split("#")[0].split()
        if words and words[0] == "./dev":
            assert words[1] in known, line
        for word in words:
            if re.match(r"(deploy|etc|scripts|examples|bench|tests|docs)/", word):
                assert (ROOT / word).exists(), f"{document.name}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_a_document_names_exist(document):
    text = document.read_text()
    names = set(re.findall(r"`((?:siphon|workers|shm|tests|deploy|etc|scripts|examples|bench|docs)/[\w./*-]+)`", text))
    linked = {target for target in re.findall(r"\]\(([^)#:]+)\)", text) if not target.startswith("/")}
    missing = [name for name in names if not (list(ROOT.glob(name.rstrip("/"))))]
    missing += [name for name in linked if not (document.parent / name).exists()]
    assert missing == []
