"""docs/conformance.md: every behaviour of tests/conformance.toml and the tests that show it.

python tools/conformance.py           rewrite the page
python tools/conformance.py --check   exit 1 when a row has no test, when a test names no row, or the page is old
python tools/conformance.py --print   the page to standard output

A test names the behaviours it shows: `test_prx_44_every_2xx_goes_up`, `test_prx_05_and_06_...`,
`test_reg_09_reg_11_...`, or a row of its parameters begins with the id: `("TOR-clerr", 400)`. A test that is marked as
failing or skipped in all cases shows nothing. That the tests named here have run and passed is seen by the test run
itself: tests/conformance_run.py ends a whole run with an error when a row was shown by no test that passed.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "conformance.toml"
PAGE = ROOT / "docs" / "conformance.md"
TESTS = ROOT / "tests"

LEVELS = ("must", "should", "may", "ours", "later")
NEAREST_TO_THE_WIRE = ("processes", "wire", "engine", "script", "services")
"""Folders of tests, those first that see most of the proxy."""
NAMED = 4
"""Tests named in a row; of the others only the number is given."""

_NUMBERED = re.compile(
    r"(prx|txn|nat|reg|auth|uri|parse|dns|fork|can|shared|sec)_(\d\d)((?:_and_\d\d)*)(?:_(?:and_)?|$)"
)
_SHOWS_NOTHING = ("mark.xfail", "mark.skip(")


class UnknownBehaviour(Exception):
    """A test names a behaviour that the list does not have."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row. `message`: its file in tests/messages. `due`: with what it comes; such a row may be without a test."""

    id: str
    source: str
    level: str
    text: str
    message: str = ""
    due: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """A test function and its file, from tests/. `rows`: the first words of its rows of parameters."""

    name: str
    path: Path
    rows: tuple[str, ...] = ()


def behaviours() -> dict[str, list[Behaviour]]:
    """The list by its titles."""
    found = {}
    for section in tomllib.loads(LIST.read_text()).values():
        title = section.pop("title")
        found[title] = [Behaviour(id=name, **facts) for name, facts in section.items()]
    return found


def listed() -> dict[str, Behaviour]:
    """Every row by its id."""
    return {behaviour.id: behaviour for group in behaviours().values() for behaviour in group}


def tests(root: Path = TESTS) -> Iterator[Test]:
    """Every test function, file by file."""
    for path in sorted(root.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
                if not any(mark in marks for mark in _SHOWS_NOTHING):
                    yield Test(node.name, path.relative_to(root), tuple(_rows(node)))


def _rows(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for mark in test.decorator_list:
        match mark:
            case ast.Call(ast.Attribute(attr="parametrize"), [_, ast.List(rows), *_]):
                firsts = [row.elts[0] if isinstance(row, ast.Tuple) and row.elts else row for row in rows]
                yield from (f.value for f in firsts if isinstance(f, ast.Constant) and isinstance(f.value, str))


def named(test: str, known: Iterable[str]) -> list[str]:
    """The ids that a test's name begins with; UnknownBehaviour for a number that is not in the list."""
    words = {name.lower().replace("-", "_"): name for name in known}
    rest = test.removeprefix("test_")
    found = []
    while match := _NUMBERED.match(rest):
        numbers = [match[2], *re.findall(r"\d\d", match[3])]
        found += [f"{match[1]}_{number}" for number in numbers]
        rest = rest[match.end() :]
    if not found and rest.startswith(("tor_", "v6_")):
        fitting = [word for word in words if f"{rest}_".startswith(f"{word}_")]
        found = [max(fitting, key=len)] if fitting else []
        if not found and rest.startswith("tor_"):
            raise UnknownBehaviour(f"{test}: no message of that name in {LIST.name}")
    for word in found:
        if word not in words:
            raise UnknownBehaviour(f"{test}: {word.upper().replace('_', '-', 1)} is not in {LIST.name}")
    return [words[word] for word in found]


def shown(known: Iterable[str], found: Iterable[Test]) -> dict[str, list[Test]]:
    """For each id the tests that name it, those first that see most of the proxy."""
    ids = list(known)
    by_id: dict[str, list[Test]] = {name: [] for name in ids}
    for test in found:
        for name in dict.fromkeys([*named(test.name, ids), *(row for row in test.rows if row in by_id)]):
            by_id[name].append(test)
    return {name: sorted(tests, key=_distance) for name, tests in by_id.items()}


def _distance(test: Test) -> int:
    folder = test.path.parts[0]
    return NEAREST_TO_THE_WIRE.index(folder) if folder in NEAREST_TO_THE_WIRE else len(NEAREST_TO_THE_WIRE)


def cell(behaviour: Behaviour, found: list[Test]) -> str:
    """What the last column says."""
    if not found:
        return f"due {behaviour.due}" if behaviour.due else "**missing**"
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    due = f" (the rest is due {behaviour.due})" if behaviour.due else ""
    return ", ".join(f"`{test.name}`" for test in found[:NAMED]) + more + due


def page() -> str:
    """The whole page."""
    groups = behaviours()
    by_id = shown(listed(), tests())
    count = {"shown": 0, "due later": 0, "missing": 0}
    for name, behaviour in listed().items():
        count["shown" if by_id[name] else "due later" if behaviour.due else "missing"] += 1
    head = f"""# Conformance

What siphond does on the wire, a row a behaviour, and the tests that show it. Generated by `python tools/conformance.py`
from `tests/conformance.toml` and the tests; edit those. A row without a test fails `./dev check`, unless it says with
what it is due; a row whose tests did not pass fails `./dev test`.

{len(by_id)} rows: {", ".join(f"{number} {what}" for what, number in count.items())}.

- *level*: what the source asks (must, should, may); *ours*: the source leaves it open and it was decided here; *later*:
  only the minimum named is served.
- Numbers that are missing are free. The tests that see most of the proxy are named first.
"""
    return head + "".join(_group(title, group, by_id) for title, group in groups.items())


def _group(title: str, group: list[Behaviour], by_id: dict[str, list[Test]]) -> str:
    rows = [f"| {b.id} | {b.text} | {b.source} | {b.level} | {cell(b, by_id[b.id])} |" for b in group]
    head = "| id | behaviour | source | level | shown by |\n|---|---|---|---|---|\n"
    return f"\n## {title}\n\n{head}" + "\n".join(rows) + "\n"


def problems() -> list[str]:
    """What `./dev check` complains of."""
    rows = listed()
    found, good = [], []
    for test in tests():
        try:
            named(test.name, rows)
            good.append(test)
        except UnknownBehaviour as error:
            found.append(f"tests/{test.path}: {error}")
    by_id = shown(rows, good)
    found += [f"{name}: missing, no test shows it" for name, b in rows.items() if not by_id[name] and not b.due]
    if not found and PAGE.read_text() != page():
        found.append("docs/conformance.md is not current: python tools/conformance.py")
    return found


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    elif "--check" in sys.argv[1:]:
        lines = problems()
        print(*(f"conformance: {line}" for line in lines), sep="\n", end="\n" if lines else "", file=sys.stderr)
        sys.exit(1 if lines else 0)
    else:
        PAGE.write_text(page())
