"""Whether the CPU of a call stays the same: with more workers, and with more transactions in the tables.

    ./dev bench --growth [--growth-workers 1,2,4] [--growth-transactions 100,1000,10000,100000] ...

By workers: the recipe's call at the steady rate and at saturation, for both servers. By transactions: siphond's table
is filled by calls that have ended, two records each, which stay for 37 s; then calls at the steady rate are measured.
Where the calls that warm it up leave more than is wanted, their end is waited for. What the table holds is read from
it before and after (the measured calls leave two records each as well), and a row whose records did not last says so.
Kamailio drops what has ended after 5 s, so it would take 20,000 transactions a second to have 100,000: it is not in
that table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from measure import LIFE_SECS, Bench, Plan, measure, needs_of, running
from report import number
from scenarios import Scenario
from siphond_server import Siphond

from shm.table import Table

RECORDS_A_CALL = 2
"""INVITE and BYE."""
FEW_USERS = 20
"""Each has registered, which leaves a transaction as well."""
WORKERS, TRANSACTIONS = "by workers", "by transactions"
COLUMNS = {
    WORKERS: ("workers", "side", "CPU us", "of the first", "sat. us", "of the first", "sat. /s"),
    TRANSACTIONS: ("wanted", "in the table before", "after", "CPU us", "of the first", "p99 ms"),
}


def numbers(text: str) -> tuple[int, ...]:
    """Of an option: "1,2,4". Raises ValueError."""
    found = tuple(int(one) for one in text.split(","))
    if min(found) < 1:
        raise ValueError(f"not above zero: {text}")
    return found


def live(bench: Bench) -> int:
    """Transactions in siphond's table now."""
    assert isinstance(bench.server, Siphond)
    (file,) = (file for file in bench.server.shared.rglob("transactions") if file.is_file())
    with_table = Table.view(file)
    try:
        return with_table.stats().records
    finally:
        with_table.close()


def by_workers(scenario: Scenario, sides: Sequence[str], plan: Plan, counts: Sequence[int], rounds: int) -> list[Any]:
    """A row a side and number of workers; sides and numbers are taken in turn, round by round."""
    plan = replace(plan, search_seconds=0)
    taken: dict[tuple[int, str], list[dict[str, Any]]] = {(n, side): [] for n in counts for side in sides}
    for _ in range(rounds):
        for n, side in taken:
            taken[n, side].append(measure(side, scenario, replace(plan, workers=n)))
    return [
        {
            "workers": n,
            "side": side,
            "cpu_us": median(one["paced"][0]["cpu_us"] for one in found),
            "saturated_cpu_us": median(one["saturated"]["cpu_us"] for one in found),
            "saturated_rate": median(one["saturated"]["calls_per_second"] for one in found),
        }
        for (n, side), found in taken.items()
    ]


def until_gone(bench: Bench, wanted: int) -> None:
    """Until the table holds no more than that."""
    deadline = time.monotonic() + 2 * LIFE_SECS
    while live(bench) > wanted and time.monotonic() < deadline:
        time.sleep(0.2)


def filled(scenario: Scenario, plan: Plan, wanted: int) -> dict[str, Any]:
    """One row of the second table, once."""
    rate = plan.rates[0]
    calls = wanted / RECORDS_A_CALL + rate * (plan.seconds + plan.warm_up)
    with running(Siphond.name, scenario, needs_of(scenario, plan, calls)) as bench:
        bench.paced(rate, plan.warm_up)
        until_gone(bench, wanted)
        missing = max(0, wanted - live(bench)) // RECORDS_A_CALL
        if missing:
            bench.drive(30 + missing / 50, calls=missing, flight=min(plan.flight, missing))
        before = live(bench)
        phase = bench.paced(rate, plan.seconds)
        return {
            "wanted": wanted,
            "before": before,
            "after": live(bench),
            "cpu_us": phase.cpu_us,
            "p99_ms": phase.counted.delay_us["p99"] / 1000,
        }


def by_transactions(scenario: Scenario, plan: Plan, wanted: Sequence[int], rounds: int) -> list[Any]:
    scenario = replace(scenario, users=FEW_USERS)
    taken: dict[int, list[dict[str, Any]]] = {n: [] for n in wanted}
    for _ in range(rounds):
        for n in taken:
            taken[n].append(filled(scenario, plan, n))
    return [{name: median(one[name] for one in found) for name in found[0]} for found in taken.values()]


def ratio(value: float, first: float) -> str:
    return number(value / first, 2) if first else "-"


def cells(growth: dict[str, Any]) -> dict[str, list[list[str]]]:
    """The two tables as text, each row with its ratio to the first of its kind."""
    firsts: dict[str, dict[str, Any]] = {}
    workers = []
    for row in growth[WORKERS]:
        first = firsts.setdefault(row["side"], row)
        workers.append(
            [
                str(row["workers"]),
                row["side"],
                number(row["cpu_us"]),
                ratio(row["cpu_us"], first["cpu_us"]),
                number(row["saturated_cpu_us"]),
                ratio(row["saturated_cpu_us"], first["saturated_cpu_us"]),
                number(row["saturated_rate"]),
            ]
        )
    transactions = []
    for row in growth[TRANSACTIONS]:
        short = "" if min(row["before"], row["after"]) >= 0.9 * row["wanted"] else " (short)"
        transactions.append(
            [
                f"{number(row['wanted'])}{short}",
                number(row["before"]),
                number(row["after"]),
                number(row["cpu_us"]),
                ratio(row["cpu_us"], growth[TRANSACTIONS][0]["cpu_us"]),
                number(row["p99_ms"], 2),
            ]
        )
    return {WORKERS: workers, TRANSACTIONS: transactions}


def table(growth: dict[str, Any]) -> str:
    """As it is printed."""
    lines = []
    for name, rows in cells(growth).items():
        lines += ["", f"growth {name}"]
        widths = [max(14, len(head) + 2) for head in COLUMNS[name]]
        for row in [COLUMNS[name], *rows]:
            lines.append("".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    return "\n".join(lines)
