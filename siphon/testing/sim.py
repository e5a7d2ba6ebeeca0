"""The simulator's command: ./dev sim --seeds N --from K [--jobs J] [--show] [--keep-going] [--nodes]

Seeds are independent, so J processes share them; what a seed does is the same in any of them. Exit 1 when a seed has
failed; its ladder and how to replay it are on standard output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import click

from siphon.testing.run import run, run_nodes

CHUNK = 20
"""Seeds that a process takes at a time."""


@dataclass(slots=True)
class Ended:
    """What is told of a seed: its first problem, and its ladder where that is wanted."""

    seed: int
    problem: str
    text: str


@dataclass(slots=True)
class Progress:
    """How far a command has come; prints itself to standard error."""

    wanted: int
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    failed: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Seeds a second."""
        return self.done / max(time.monotonic() - self.began, 1e-9)

    def show(self) -> None:
        """A line that overwrites itself on a terminal; elsewhere one every thousand seeds."""
        terminal = sys.stderr.isatty()
        if not (self.done % 10 == 0 if terminal else self.done % 1000 == 0):
            return
        left = (self.wanted - self.done) / max(self.rate, 1e-9)
        bar = "#" * (40 * self.done // self.wanted)
        line = f"[{bar:<40}] {self.done}/{self.wanted}  {self.rate:.1f} seeds/s  {left:.0f} s left"
        line += f"  {len(self.failed)} failed"
        click.echo(f"\r{line}" if terminal else line, err=True, nl=not terminal)

    def __str__(self) -> str:
        """The last line."""
        return (
            f"{self.done} seeds, {self.rate:.1f} a second, {len(self.failed)} failed {self.failed[:20] or ''}".rstrip()
        )


@click.command()
@click.option("--seeds", default=1000, show_default=True, type=click.IntRange(1), help="How many seeds to run.")
@click.option("--from", "first", default=1, show_default=True, type=click.IntRange(0), help="The first of them.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that share them.")
@click.option("--show", is_flag=True, help="Print every run's ladder, also where nothing is wrong.")
@click.option("--keep-going", is_flag=True, help="Go on after a failing seed and name them all at the end.")
@click.option("--nodes", is_flag=True, help="Run every seed on several nodes; else one in eight is.")
def main(seeds: int, first: int, jobs: int, show: bool, keep_going: bool, nodes: bool) -> None:
    """Run the engine in a virtual world of bad networks and dying workers, one world a seed."""
    progress = Progress(seeds)
    for ended in _all(first, seeds, jobs, show, nodes):
        progress.done += 1
        if ended.problem or show:
            click.echo(ended.text if show or not progress.failed else f"seed {ended.seed}: {ended.problem}")
        if ended.problem:
            progress.failed.append(ended.seed)
            if not keep_going:
                break
        progress.show()
    if sys.stderr.isatty():
        click.echo(err=True)
    click.echo(str(progress))
    sys.exit(1 if progress.failed else 0)


def _all(first: int, seeds: int, jobs: int, show: bool, nodes: bool) -> Iterator[Ended]:
    """What became of each seed, in order."""
    chunks = [(at, min(at + CHUNK, first + seeds), show, nodes) for at in range(first, first + seeds, CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from _each(*chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            for found in pool.map(_some, chunks):
                yield from found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _some(chunk: tuple[int, int, bool, bool]) -> list[Ended]:
    return list(_each(*chunk))


def _each(first: int, end: int, show: bool, nodes: bool) -> Iterator[Ended]:
    for seed in range(first, end):
        yield _one(seed, show, nodes)


def _one(seed: int, show: bool, nodes: bool) -> Ended:
    result = run_nodes(seed) if nodes else run(seed)
    problem = result.problems[0] if result.problems else ""
    return Ended(seed, problem, str(result) if problem or show else "")


if __name__ == "__main__":
    main(prog_name="./dev sim")
