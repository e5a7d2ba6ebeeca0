"""What the script API costs: a property, a handler called, `registrar.lookup` with `fork`; nanoseconds of one process.

    .venv/bin/python bench/api_bench.py [--loops N] [--json FILE]

A property's figure is that of `request.method` in a loop less that of `request` in a loop: what the access itself is.
A handler's is the difference between a request with nine handlers that do nothing and one with one, by eight, less
the call of an empty function. `lookup` and `fork` run in a handler, over a table of bindings in shared memory with one
binding for the user. CPU time counts, the least of several repeats, as timeit advises: other work only adds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench"), str(ROOT / "tests/script")]

import machine  # noqa: E402
from script_kit import SECRET, Bench, sip  # type: ignore[import-not-found]  # noqa: E402

from shm.table import Table  # noqa: E402
from siphon.engine.enums import make_members_cheap  # noqa: E402
from siphon.services.location.location import Location  # noqa: E402

GOALS = {"property": 60, "handler": 500, "lookup and fork": 3000}
"""Nanoseconds."""
PROPERTIES = (
    *("method", "ruri", "call_id", "from_tag", "to_tag", "in_dialog", "cseq", "max_forwards", "body", "source_ip"),
    *("source_port", "auth_user", "transport", "from_uri", "to_uri", "user_agent", "content_type"),
)
URI_PROPERTIES = ("user", "host", "port", "scheme", "is_local")
REPEATS = 7
HOOK = "siphond_api_bench"
"""The module by which the script gives its request away."""
EMPTY = "from siphon import proxy\n" + "".join(
    f"@proxy.on_request\ndef route{number}(request):\n    pass\n" for number in range(9)
)
SCRIPT = f"""
import {HOOK}
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        {HOOK}.took = {HOOK}.measure(request, registrar)
        request.fork(registrar.lookup(request.ruri))
"""


def fastest(statement: str, names: dict[str, Any], loops: int) -> float:
    """Nanoseconds of the statement, loop included; `it` is a local of the loop."""
    timer = timeit.Timer(statement, "it = subject", time.process_time, globals=names)
    return min(timer.repeat(REPEATS, loops)) / loops * 1e9


def properties(subject: object, names: tuple[str, ...], loops: int) -> dict[str, float]:
    """Of each, less the loop."""
    bare = fastest("it", {"subject": subject}, loops)
    return {name: max(0.0, fastest(f"it.{name}", {"subject": subject}, loops) - bare) for name in names}


def of_request(place: Path, loops: int) -> dict[str, float]:
    request = Bench(place, "").request(sip(body=b"v=0\r\n"))
    found = properties(request, PROPERTIES, loops)
    uri = properties(request.ruri, URI_PROPERTIES, loops)
    return {f"request.{name}": spent for name, spent in found.items()} | {
        f"request.ruri.{name}": spent for name, spent in uri.items()
    }


def of_handler(place: Path, loops: int) -> float:
    """One handler more."""
    one, nine = (Bench(place / name, EMPTY.partition("@proxy.on_request\ndef route1")[0] if name == "one" else EMPTY)
                 for name in ("one", "nine"))  # fmt: skip

    def taken(bench: Any) -> float:
        raw, done = sip(), ignore
        requests = iter([bench.request(raw) for _ in range(loops * REPEATS)])
        names = {"subject": bench.runtime.run_request, "requests": requests, "done": done}
        return fastest("it(next(requests), None, done)", names, loops)

    bare = fastest("it(None)", {"subject": ignore}, loops) - fastest("it", {"subject": None}, loops)
    return (taken(nine) - taken(one)) / 8 - bare


def ignore(_: object) -> None:
    """An empty function."""


def of_lookup(place: Path, loops: int) -> float:
    """registrar.lookup, and request.fork over what it found, in a handler of an INVITE."""
    hook: Any = ModuleType(HOOK)
    sys.modules[HOOK] = hook

    def measure(request: object, registrar: object) -> float:
        names = {"subject": request, "registrar": registrar}
        return fastest("it.fork(registrar.lookup(it.ruri))", names, loops)

    hook.measure = measure
    with tempfile.TemporaryDirectory(prefix="siphond-api-", dir="/dev/shm") as shared:
        bench = Bench(place, SCRIPT)
        bench.wall = time.time()  # tables look at the real clock
        table = Table.create(Path(shared) / "location", records=4096, blocks=4096, wall_expiry=True)
        location = Location(table, bench.identity, bench.settings, SECRET, epoch="start-1")
        bench.services.location = location
        bench.route(sip("REGISTER", "sip:example.com", "Contact: <sip:bob@192.0.2.2:5060>", "Expires: 3600"))
        outcome = bench.route(sip())
        if not getattr(outcome.action, "targets", None):
            raise RuntimeError(f"nothing was found: {outcome.action}")
        table.close()
    del sys.modules[HOOK]
    return float(hook.took)


def measured(loops: int) -> dict[str, float]:
    """Nanoseconds by what is measured."""
    make_members_cheap()
    parts: list[Callable[[Path], dict[str, float]]] = [
        lambda place: of_request(place, loops),
        lambda place: {"handler": of_handler(place, max(50, loops // 20))},
        lambda place: {"lookup and fork": of_lookup(place, max(50, loops // 20))},
    ]
    found: dict[str, float] = {}
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="siphond-api-") as place:
            for name in ("one", "nine"):
                (Path(place) / name).mkdir()
            found |= part(Path(place))
    return found


def goal_of(name: str) -> int:
    return GOALS.get(name, GOALS["property"])


def main() -> int:
    parser = argparse.ArgumentParser(description="What the script API costs, in nanoseconds.")
    parser.add_argument("--loops", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="the figures go to this file")
    asked = parser.parse_args()
    facts = machine.description()
    print(machine.in_words(facts))
    found = measured(asked.loops)
    for name, spent in found.items():
        over = "" if spent < goal_of(name) else "  over"
        print(f"{name:24} {spent:8.0f} ns   goal {goal_of(name):5}{over}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "ns": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
