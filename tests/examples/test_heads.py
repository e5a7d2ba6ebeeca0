"""Each example runs by the command in its head, as written, in a checkout: siphond is ready, and a request is answered
as the example says. The lines are typed as those of a page of the documents are (tests/docs/shell_page.py)."""

import ast
import re
import sys
from pathlib import Path

import peers
import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/docs"))

import shell_page  # noqa: E402

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SIPCLI = "python3 deploy/ha-demo/sipcli.py"
GATEWAYS = "siphonctl -c examples/proxy_gateway.cfg gateways"
REGISTERED = f"{SIPCLI} register 127.0.0.1 5060 bob 127.0.0.1 5080"


def soon(asked, status):
    """The line that asks until it is told so, five times at most: the 100 of a worker that is not run comes first."""
    ask = f"said=$({SIPCLI} {asked} || :)"
    return f"for n in 1 2 3 4 5; do {ask}; [ $said = {status} ] && break; done; test $said = {status}"


TRIED = {
    "proxy_gateway": (
        "# nobody is there: the probes find it, and calls are told",
        f"until [ $({GATEWAYS} | grep -c down) = 3 ]; do sleep 0.5; done",
        soon("invite 127.0.0.1 5060 echo", 503),
    ),
    "proxy_rtpengine": (REGISTERED, soon("invite 127.0.0.1 5060 bob", 100)),
    "pstn_breakout": (
        soon("options 127.0.0.1 5060", 200),
        "# who is neither pbx nor carrier",
        soon("invite 127.0.0.1 5060 0731123", 403),
    ),
    "residential": (REGISTERED, soon("invite 127.0.0.1 5060 bob", 407)),
}
"""What is typed when it is ready."""


def head(example):
    """The commands of a script's docstring: what is indented and has no sentence."""
    text = (ast.get_docstring(ast.parse(example.read_text())) or "").replace("\\\n", " ")
    found = re.findall(r"^    (\S.*)$", text, re.M)
    return [re.sub(r"\s+\((in a checkout|installed)\)$", "", line) for line in found]


def test_every_example_is_tried_and_has_a_head():
    assert {example.stem for example in EXAMPLES} == set(TRIED)
    for example in EXAMPLES:
        assert any(f"-c examples/{example.stem}.cfg" in line for line in head(example)), example


@pytest.mark.skipif(not shell_page.may_make_worlds(), reason="needs the right to make namespaces")
@pytest.mark.parametrize("example", [pytest.param(example, id=example.stem) for example in EXAMPLES])
def test_an_example_runs_by_the_command_in_its_head(example, tmp_path):
    peers.require("ip")
    lines, serving = [], []
    for line in head(example):
        program = line.split()[0]
        if program in ("siphond", "./dev"):
            serving.append(line)
        else:
            peers.require(program)
            lines.append(f"({line} >{program}.log 2>&1 &)")
    tried = [line for line in TRIED[example.stem] if not line.startswith("#")]
    for start in serving:
        lines += [start, *tried]
    done = shell_page.run(tmp_path, lines, serving=serving, files={}, configuration="")
    log = tmp_path / "server.log"
    assert done.returncode == 0, done.stdout + (log.read_text() if log.exists() else "")
    assert done.stdout.endswith("all of it\n")
    assert [line for line in log.read_text().splitlines() if "Z error " in line] == []
