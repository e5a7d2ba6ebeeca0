"""The simulator's command: python -m siphon.testing.sim --seeds N --from K [--show] [--keep-going]

Exit 1 when a seed has failed; its ladder and how to replay it are on standard output.
"""

from __future__ import annotations

import sys
import time

import click

from siphon.testing.run import run


@click.command()
@click.option("--seeds", default=1000, show_default=True, help="How many seeds to run.")
@click.option("--from", "first", default=1, show_default=True, help="The first of them.")
@click.option("--show", is_flag=True, help="Print every run's ladder, also where nothing is wrong.")
@click.option("--keep-going", is_flag=True, help="Go on after a failing seed and name them all at the end.")
def main(seeds: int, first: int, show: bool, keep_going: bool) -> None:
    """Run the engine in a virtual world of bad networks and dying workers, one world a seed."""
    began = time.monotonic()
    failed: list[int] = []
    for number in range(seeds):
        result = run(first + number)
        if result.problems or show:
            click.echo(str(result) if show or not failed else f"seed {result.seed}: {result.problems[0]}")
        if result.problems:
            failed.append(result.seed)
            if not keep_going:
                break
        _progress(number + 1, seeds, began, len(failed))
    if sys.stderr.isatty():
        click.echo(err=True)
    rate = (number + 1) / (time.monotonic() - began)
    click.echo(f"{number + 1} seeds, {rate:.1f} a second, {len(failed)} failed {failed[:20] or ''}".rstrip())
    sys.exit(1 if failed else 0)


def _progress(done: int, seeds: int, began: float, failed: int) -> None:
    """A line that overwrites itself on a terminal; elsewhere one every thousand seeds."""
    terminal = sys.stderr.isatty()
    if not (done % 10 == 0 if terminal else done % 1000 == 0):
        return
    rate = done / (time.monotonic() - began)
    bar = "#" * (40 * done // seeds)
    line = f"[{bar:<40}] {done}/{seeds}  {rate:.1f} seeds/s  {failed} failed"
    click.echo(f"\r{line}" if terminal else line, err=True, nl=not terminal)


if __name__ == "__main__":
    main()
