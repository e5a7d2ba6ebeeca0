"""Medians over the rounds, ratios within each round, and the tables that are printed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

Round = dict[str, Any]
"""What measure() says of one side in one round."""

REFERENCE = "kamailio"
"""The side that ratios refer to: its own language, its fast allocator."""

FIGURES: dict[str, Callable[[Round], float | None]] = {
    "idle_us": lambda r: r["idle_cpu_us_per_second"],
    "saturated_cpu_us": lambda r: r["saturated"]["cpu_us"],
    "saturated_rate": lambda r: r["saturated"]["calls_per_second"],
    "highest_rate": lambda r: r["highest"]["rate"] if "highest" in r else None,
    "pss_registered_mb": lambda r: r["pss_registered_bytes"] / 2**20,
    "pss_loaded_mb": lambda r: r["pss_loaded_bytes"] / 2**20,
    "reserved_mb": lambda r: r["reserved_bytes"] / 2**20,
}
PACED: dict[str, Callable[[Round], float | None]] = {
    "cpu_us": lambda p: p["cpu_us"],
    "p50_ms": lambda p: p["delay_us"]["p50"] / 1000,
    "p99_ms": lambda p: p["delay_us"]["p99"] / 1000,
    "failed": lambda p: p["failed"],
    "repeats": lambda p: p["retransmissions"] + p["repeats"],
}


def middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def ratio(
    ours: Sequence[Round], reference: Sequence[Round] | None, figure: Callable[[Round], float | None]
) -> float | None:
    """The median of the rounds' ratios: what shared a round shared what else the machine did."""
    found = []
    for mine, other in zip(ours, reference or [], strict=False):
        a, b = figure(mine), figure(other)
        if a is not None and b:
            found.append(a / b)
    return median(found) if found else None


def summary(rounds: dict[str, list[Round]]) -> dict[str, Any]:
    """For each side the medians, each with its ratio to the reference, and one block for each paced rate."""
    found: dict[str, Any] = {}
    reference = rounds.get(REFERENCE)
    for side, of_side in rounds.items():
        paced = []
        for number, phase in enumerate(of_side[0]["paced"]):
            phases = [one["paced"][number] for one in of_side]
            others = [one["paced"][number] for one in reference] if reference else None
            block = {name: middle([figure(one) for one in phases]) for name, figure in PACED.items()}
            paced.append({"rate": phase["offered"], **block, "cpu_ratio": ratio(phases, others, PACED["cpu_us"])})
        found[side] = {
            "paced": paced,
            **{name: middle([figure(one) for one in of_side]) for name, figure in FIGURES.items()},
            "saturated_cpu_ratio": ratio(of_side, reference, FIGURES["saturated_cpu_us"]),
            "highest_ratio": ratio(of_side, reference, FIGURES["highest_rate"]),
        }
    return found


def number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


COLUMNS = (
    "side", "at/s", "CPU us", "ratio", "p50 ms", "p99 ms", "failed", "again",
    "sat. us", "ratio", "sat. /s", "highest/s", "ratio", "PSS MB", "idle", "handlers",
)  # fmt: skip
WIDTHS = (15, 6, 8, 7, 8, 8, 7, 6, 8, 7, 8, 10, 7, 7, 7, 9)


def row(cells: Sequence[str]) -> str:
    head = cells[0].ljust(WIDTHS[0])
    return head + "".join(cell.rjust(width) for cell, width in zip(cells[1:], WIDTHS[1:], strict=True))


def cells(result: dict[str, Any]) -> list[list[str]]:
    """One scenario. A line a side and paced rate; what does not depend on the rate stands in the side's first line."""
    lines = []
    for side, found in result["summary"].items():
        handlers = result["traces"].get(side, {}).get("handler_calls_per_call")
        rest = [
            number(found["saturated_cpu_us"]),
            number(found["saturated_cpu_ratio"], 2),
            number(found["saturated_rate"]),
            number(found["highest_rate"]),
            number(found["highest_ratio"], 2),
            number(found["pss_loaded_mb"]),
            number(found["idle_us"]),
            number(handlers, 1),
        ]
        for paced in found["paced"]:
            first = [
                number(paced["rate"]),
                number(paced["cpu_us"]),
                number(paced["cpu_ratio"], 2),
                number(paced["p50_ms"], 2),
                number(paced["p99_ms"], 2),
                number(paced["failed"]),
                number(paced["repeats"]),
            ]
            lines.append([side, *first, *rest])
            side, rest = "", [""] * len(rest)
    return lines


def table(result: dict[str, Any]) -> str:
    """As it is printed."""
    return "\n".join(row(line) for line in [COLUMNS, *cells(result)])


def differences(traces: dict[str, Any]) -> dict[str, list[str]]:
    """For each side but siphond the lines in which what the agents sent and heard differs from siphond; [] is alike."""
    ours = traces.get("siphond")
    if ours is None:
        return {}
    found = {}
    for side, trace in traces.items():
        if side == "siphond":
            continue
        lines: list[str] = []
        for agent in sorted(ours["messages"].keys() | trace["messages"].keys()):
            mine, theirs = ours["messages"].get(agent, []), trace["messages"].get(agent, [])
            compared = difflib.unified_diff(mine, theirs, f"{agent} by siphond", f"{agent} by {side}", n=1, lineterm="")
            lines.extend(compared)
        found[side] = lines
    return found


def traces_in_words(result: dict[str, Any]) -> str:
    lines = []
    for side, changed in result["differences"].items():
        if changed:
            lines.append(f"{side}: the agents saw other messages than with siphond")
            lines.extend(f"    {line}" for line in changed)
        else:
            count = sum(len(of_agent) for of_agent in result["traces"][side]["messages"].values())
            lines.append(f"{side}: the {count} messages that the agents sent and heard are those with siphond")
    return "\n".join(lines)


def complaints_in_words(result: dict[str, Any]) -> str:
    """What the servers said of errors, which makes their figures doubtful."""
    found = {side: [line for one in rounds for line in one["log"]] for side, rounds in result["rounds"].items()}
    return "\n".join(f"{side} complains: {lines[0]} ({len(lines)} lines)" for side, lines in found.items() if lines)
