"""Writes docs/behaviours.md from docs/behaviours.toml and the tests: every behaviour, and the test that shows it.

python tools/behaviours.py           rewrite the page
python tools/behaviours.py --print   to standard output

A test names the behaviours it shows: `test_prx_44_every_2xx_goes_up`, `test_prx_05_and_06_...`,
`test_reg_09_reg_11_...`, or a row of its parameters begins with the id: `("TOR-clerr", 400)`. Where several name one,
the page shows the one that sees most of the proxy. A test that is marked as failing or skipped in all cases shows
nothing. A message of tests/messages without a test of its own is `parsed`: its verdict, its fields and its printing are
tested, what the proxy does with it is not.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "docs" / "behaviours.toml"
PAGE = ROOT / "docs" / "behaviours.md"
TESTS = ROOT / "tests"

LEVELS = ("must", "should", "may", "ours", "later")
NEAREST_TO_THE_WIRE = ("processes", "engine", "script", "services")
"""Folders of tests, those first that see most of the proxy."""

_NUMBERED = re.compile(
    r"(prx|txn|nat|reg|auth|uri|parse|dns|fork|can|shared|sec)_(\d\d)((?:_and_\d\d)*)(?:_(?:and_)?|$)"
)
_SHOWS_NOTHING = ("mark.xfail", "mark.skip(")


class UnknownBehaviour(Exception):
    """A test names a behaviour that the list does not have."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One line of the list. `message`: its file in tests/messages, "" where it has none."""

    id: str
    source: str
    level: str
    text: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """A test function and the file it stands in, from the root. `rows`: the first words of its rows of parameters."""

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


def shown(known: Iterable[str], found: Iterable[Test]) -> dict[str, Test]:
    """For each id that tests name the one that sees most of the proxy, the first where several do."""
    ids = list(known)
    best: dict[str, Test] = {}
    for test in found:
        for name in [*named(test.name, ids), *(row for row in test.rows if row in ids)]:
            if name not in best or _distance(test) < _distance(best[name]):
                best[name] = test
    return best


def _distance(test: Test) -> int:
    folder = test.path.parts[0]
    return NEAREST_TO_THE_WIRE.index(folder) if folder in NEAREST_TO_THE_WIRE else len(NEAREST_TO_THE_WIRE)


def status(behaviour: Behaviour, best: dict[str, Test]) -> str:
    """What the last column says."""
    test = best.get(behaviour.id)
    if test is not None:
        return f"tested: `{test.name}`"
    message = behaviour.message
    if message and any((TESTS / "messages" / kind / f"{message}.sip").exists() for kind in ("valid", "invalid")):
        return "parsed"
    return "open"


def page() -> str:
    """The whole page."""
    listed = behaviours()
    best = shown([b.id for group in listed.values() for b in group], tests())
    states = [status(b, best).partition(":")[0] for group in listed.values() for b in group]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("tested", "parsed", "open"))
    head = f"""# Behaviours

What siphond does on the wire, one id a behaviour, and the test that shows it. Generated by `python tools/behaviours.py`
from [behaviours.toml](behaviours.toml) and the names of the tests; edit those.

{len(states)} behaviours: {counts}.

- *level*: what the source asks (must, should, may); *ours*: the source leaves it open and it was decided here; *later*:
  only the minimum named is served.
- *tested*: the test named carries the id, perhaps beside others; it may show a part only. *parsed*: the message is in
  `tests/messages/` and its verdict is tested, what the proxy does with it is not. *open*: no test carries the id; it
  may work all the same.
- Numbers that are missing are free. Redis is not built yet: what needs it is open.
"""
    return head + "".join(_group(title, group, best) for title, group in listed.items())


def _group(title: str, group: list[Behaviour], best: dict[str, Test]) -> str:
    rows = [f"| {b.id} | {b.text} | {b.source} | {b.level} | {status(b, best)} |" for b in group]
    return (
        f"\n## {title}\n\n| id | behaviour | source | level | status |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        print(page(), end="")
    else:
        PAGE.write_text(page())
