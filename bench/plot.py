"""The figures as a picture, by matplotlib (pip install 'siphond[plot]')."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

PANELS: tuple[tuple[str, Callable[[dict[str, Any]], float | None]], ...] = (
    ("CPU of a call at a steady rate, us", lambda side: side["paced"][0]["cpu_us"]),
    ("CPU of a call at saturation, us", lambda side: side["saturated_cpu_us"]),
    ("highest rate without failure or repeat, calls/s", lambda side: side["highest_rate"]),
    ("request in to request out, p99, ms", lambda side: side["paced"][0]["p99_ms"]),
)


def available() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def draw(results: dict[str, Any], file: Path) -> None:
    """A panel a figure, a group of bars a scenario, a bar a side."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    scenarios = results["scenarios"]
    sides = list(dict.fromkeys(side for result in scenarios.values() for side in result["summary"]))
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 8))
    for axis, (title, value) in zip(axes.flat, PANELS, strict=True):
        for place, side in enumerate(sides):
            positions, heights = [], []
            for index, result in enumerate(scenarios.values()):
                found = result["summary"].get(side)
                if found is not None and value(found) is not None:
                    positions.append(index + (place - (len(sides) - 1) / 2) * 0.8 / len(sides))
                    heights.append(value(found))
            axis.bar(positions, heights, 0.8 / len(sides), label=side)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(scenarios)), list(scenarios))
        axis.grid(axis="y", alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    figure.suptitle(results["machine_in_words"], fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
