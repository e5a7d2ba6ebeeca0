"""The figures of a run as tables of a page: everything between two marks is written anew.

    ./dev bench --from results.json --fill docs/performance.md

Only what stands in the file of results is written, so a page says no more than what the command printed.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import growth
import report

BEGIN, END = "<!-- figures: ./dev bench --from results.json --fill -->", "<!-- end of figures -->"
GROWTH_BEGIN, GROWTH_END = "<!-- growth: ./dev bench --from growth.json --fill -->", "<!-- end of growth -->"


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(columns: tuple[str, ...] | list[str]) -> list[str]:
    return [line(list(columns)), line(["---", *["---:"] * (len(columns) - 1)])]


def scenario(name: str, result: dict[str, Any]) -> list[str]:
    """One table, and whether the agents saw the same."""
    rows = [line(cells) for cells in report.cells(result)]
    words = [f"- {text.strip()}" for text in report.traces_in_words(result).splitlines()]
    words += [f"- {text}" for text in report.complaints_in_words(result).splitlines()]
    return [f"`{name}`: {result['scenario']['what']}", "", *heading(report.COLUMNS), *rows, "", *words, ""]


def figures(results: dict[str, Any], picture: str | None) -> str:
    """All of it, as Markdown."""
    plan = results["plan"]
    lines = [f"{results['machine_in_words']}; {results['machine']['when']}.", ""]
    if command := results.get("command"):
        lines += [f"`{command}`: {plan['workers']} workers, {plan['rounds']} rounds.", ""]
    if bed := results.get("test_bed"):
        lines += [
            f"Load generator without a server: {bed['calls_per_second']:.0f} calls/s, {bed['cpu_us']:.0f} us a call.",
            "",
        ]
    for name, result in results["scenarios"].items():
        lines += scenario(name, result)
    if "growth" in results:
        for name, rows in growth.cells(results["growth"]).items():
            lines += [f"Growth {name}:", "", *heading(growth.COLUMNS[name]), *map(line, rows), ""]
    if picture:
        lines += [f"![the figures as bars]({picture})", ""]
    return "\n".join(lines)


def fill(page: Path, results: dict[str, Any], picture: Path | None = None) -> None:
    """Raises RuntimeError when the page has no place for figures."""
    first, last = (GROWTH_BEGIN, GROWTH_END) if "growth" in results else (BEGIN, END)
    before, begin, rest = page.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise RuntimeError(f"{page}: no lines {first} and {last}")
    shown = os.path.relpath(picture, page.parent) if picture else None
    page.write_text(f"{before}{first}\n\n{figures(results, shown)}\n{last}{after}")


def command_of(arguments: list[str]) -> str:
    return shlex.join(["./dev", "bench", *arguments])
