"""What the shell blocks of our documents show is run, as written (shell_page.py).

Each line either serves until it is stopped (SERVES), or is not run here, for a reason that stands beside it
(NOT_RUN), or is run and must succeed. So a new line is run, and fails until it works or somebody says why it cannot.
In a `console` block the lines after `$` are typed; the first line that it shows as printed must be printed.
"""

import re
from pathlib import Path

import peers
import pytest
import shell_page
from test_blocks import BLOCKS, ROOT, Block, files_of

SERVES = ("./dev run", "siphond -c siphon.cfg")

NOT_RUN = {
    r"sudo deploy/install\.sh( --pgo)?|sudo systemctl .*": "changes the machine; tests/project/test_install.py runs it",
    r"sysctl -w .*": "changes the machine, and is the kernel's",
    r"tshark .*": "listens until Ctrl-C, and is no program of ours",
    r"(\w+=\S+ )?\./dev test.*": "is what runs this test, or some of what it runs",
    r"\.venv/bin/python -m pytest .*": "the whole run has this file",
    r"\./dev check": "what CI runs first",
    r"\./dev build --pgo": "takes minutes; tests/project/test_install.py compiles that way",
    r"\./dev docs": "tests/docs/test_site.py builds the site",
    r"\./dev ha-demo": "tests/processes/test_ha_demo.py runs it",
    r"\./dev fuzz.*": "takes minutes; tests/fuzzing runs the targets",
    r"\./dev bench.*": "takes minutes and measures; tests/bench runs it in short",
    r"\.venv/bin/python bench/bindings\.py": "takes minutes and 1.7 GB of memory; tests/bench runs it in short",
    r"\./dev (chaos|soak).*": "takes minutes and makes load; tests/processes/test_load_commands.py runs them in short",
    r"\./dev sim --(seeds 1\d+ ?.*|nodes .*)": "takes minutes; tests/testing runs some seeds of each kind",
    r"\./dev mutants": "takes an hour; tests/project/test_mutants.py",
    r"\.venv/bin/python tools/broken_rows\.py.*": "takes minutes; each row breaks the tree for a while",
    r"\.venv/bin/python tools/\w+\.py": "writes into docs/; tests compare what it would write",
}
"""What may not or need not be run here: the whole line, and why."""

BASE = f"""
[listen]
udp = ["127.0.0.1:5060"]
[domain]
local = ["127.0.0.1"]
[script]
path = "{shell_page.DEFAULT_SCRIPT}"
[server]
state_dir = "state"
[shared]
max_transactions = 1000
max_bindings = 1000
max_nonces = 1000
max_dialogs = 1000
[auth.users]
bob = "secret"
"""
GROUPS = """
[[gateway.groups]]
name = "carriers"
[[gateway.groups.destinations]]
uri = "sip:trunk.example.net"
address = "192.0.2.10:5060"
"""
AROUND = {
    "docs/deployment.md": (BASE, "siphond", ()),
    "docs/runbook.md": (BASE, "siphond", ()),
    "docs/gateway.md": (BASE + GROUPS, "siphond", ()),
    "docs/security.md": (BASE, "siphond", ("siphonctl bans add 198.51.100.7 --reason 'rate limit'",)),
}
"""Pages whose commands speak to a siphond that the page does not start: its configuration, the line that starts it, and
what has happened before."""


def lines_of(block: Block) -> list[str]:
    """The commands of a block, without comments."""
    if block.kind == "console":
        return re.findall(r"^\$ (.*)$", block.text, re.M)
    text = block.text.replace("\\\n", " ")
    found = [re.sub(r"\s+#\s.*$", "", line).strip() for line in text.splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def why_not(line: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, line)), None)


SHELL = [(block, line) for block in BLOCKS if block.kind in ("sh", "console") for line in lines_of(block)]
PAGES: dict[Path, list[str]] = {}
for _block, _line in SHELL:
    if why_not(_line) is None:
        PAGES.setdefault(_block.document, []).append(_line)


@pytest.mark.skipif(not shell_page.may_make_worlds(), reason="needs the right to make namespaces")
@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_what_a_page_shows_works_when_it_is_typed(page, tmp_path):
    peers.require("ip")
    around, start, before = AROUND.get(str(page.relative_to(ROOT)), (BASE, "", ()))
    lines = [*([start] if start else []), *before, *PAGES[page]]
    done = shell_page.run(tmp_path, lines, serving=(*SERVES, "siphond"), files=files_of(page), configuration=around)
    log = tmp_path / "server.log"
    assert done.returncode == 0, done.stdout + (log.read_text() if log.exists() else "")
    assert done.stdout.endswith("all of it\n")
    for block in BLOCKS:
        if block.document == page and block.kind == "console":
            shown = next(line for line in block.text.splitlines() if not line.startswith("$ "))
            assert shown.split() in [line.split() for line in done.stdout.splitlines()], done.stdout


def test_every_reason_is_still_of_use():
    assert [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, line) for _, line in SHELL)] == []
    assert [line for line in SERVES if line not in [typed for _, typed in SHELL]] == []


def test_most_pages_with_commands_are_run():
    assert {str(page.relative_to(ROOT)) for page in PAGES} >= {*AROUND, "README.md", "docs/getting-started.md"}


def test_a_line_that_fails_ends_the_page_and_is_told(tmp_path):
    if not shell_page.may_make_worlds():
        pytest.skip("needs the right to make namespaces")
    done = shell_page.run(tmp_path, ["true", "siphonctl no-such", "true"], serving=(), files={}, configuration=BASE)
    assert done.returncode == 2 and "+ siphonctl no-such" in done.stdout and "all of it" not in done.stdout
