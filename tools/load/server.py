"""A siphond that runs the tests' recipe, with room for a load and users for phones."""

from __future__ import annotations

from pathlib import Path

from proxy_process import RECIPE, Siphond

GREEDY = Path(__file__).with_name("greedy.py")
PASSWORD = "secret"
CALL_RECORDS = 3
"""Records of one call and its share of other requests."""


def users(count: int) -> list[str]:
    return [f"phone{number}" for number in range(count)]


def prepared(
    directory: Path,
    *,
    workers: int,
    steering: str,
    rate: float,
    phones: int,
    t1: float,
    more: str = "",
    greedy: bool = False,
) -> Siphond:
    """Not started. Its tables take `rate` calls a second. `greedy`: its script eats the memory of a worker that has a
    limit."""
    life = 64 * t1 + 10
    timing = f"\n[transaction]\nt1 = {t1}\nlinger = {min(5.0, 10 * t1)}\n"
    transactions = int(CALL_RECORDS * rate * life) + 20000
    script = (GREEDY.read_text() + "\n\n" if greedy else "") + RECIPE.read_text()
    made = Siphond(
        directory, workers=workers, steering=steering, transactions=transactions, more=timing + more, script=script
    )
    text = made.configuration.read_text()
    lines = "".join(f'{user} = "{PASSWORD}"\n' for user in users(phones))
    made.configuration.write_text(text.replace('carol = "secret"\n', 'carol = "secret"\n' + lines))
    return made
