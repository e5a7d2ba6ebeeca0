"""siphond and Kamailio under the same load, in turn: CPU a call, highest clean rate, delay, memory.

    ./dev bench [--quick] [--scenarios call,fork] [--sides siphond,kamailio] [--workers N] [--rates 200,1000] ...

Each round measures every side once (A B A B); figures are medians over the rounds, ratios medians of the rounds' ratios
to Kamailio with its fast allocator. docs/performance.md says what each column is.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import driver_process  # noqa: E402
import growth  # noqa: E402
import kamailio_server  # noqa: E402
import machine  # noqa: E402
import page  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
from kamailio_server import DefaultKamailio  # noqa: E402
from measure import SIDES, Plan, measure, test_bed, traced  # noqa: E402
from scenarios import SCENARIOS, Scenario, named  # noqa: E402

QUICK = {
    "scenarios": "call",
    "seconds": 2.0,
    "warm_up": 1.0,
    "rounds": 1,
    "search_seconds": 1.0,
    "precision": 0.2,
    "idle": 0.5,
}
FULL = {
    "scenarios": ",".join(scenario.name for scenario in SCENARIOS),
    "seconds": 5.0,
    "warm_up": 3.0,
    "rounds": 3,
    "search_seconds": 2.0,
    "precision": 0.05,
    "idle": 1.0,
}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description="siphond and Kamailio under the same load.")
    parser.add_argument("--quick", action="store_true", help="calls only, once, short: about a minute")
    parser.add_argument("--scenarios", help=f"of {FULL['scenarios']}")
    parser.add_argument("--sides", help=f"of {','.join(SIDES)}; absent: all, the last one for calls only")
    parser.add_argument("--workers", type=int, default=2, help="of siphond, and children of Kamailio")
    parser.add_argument("--steering", choices=["flow", "spread"], help="of siphond; absent: as the scenario says")
    parser.add_argument("--rates", default="200", help="steady rates, calls a second; all sides get the same")
    parser.add_argument("--seconds", type=float, help="of each steady rate; saturation takes half of it")
    parser.add_argument("--warm-up", type=float, help="seconds before the first that counts")
    parser.add_argument("--idle", type=float, help="seconds for which the idle server is looked at")
    parser.add_argument("--linger", type=float, default=0, help="seconds after a steady rate whose CPU counts as well")
    parser.add_argument("--rounds", type=int, help="each side once a round")
    parser.add_argument("--flight", type=int, default=64, help="calls at one time at saturation")
    parser.add_argument("--bindings", type=int, default=20000, help="users registered in the scenario lookups")
    parser.add_argument("--search-seconds", type=float, help="of each rate tried; 0: no search for the highest rate")
    parser.add_argument("--precision", type=float, help="of the highest rate, as a part of it")
    add_growth(parser)
    parser.add_argument("--json", type=Path, help="everything that was measured goes to this file")
    parser.add_argument("--plot", type=Path, help="a picture (.png, .svg); wants matplotlib")
    parser.add_argument("--fill", type=Path, help="puts the figures as tables between the marks of this page")
    parser.add_argument("--from", dest="source", type=Path, help="print, or draw, an earlier --json; measures nothing")
    asked = parser.parse_args(arguments)
    for name, value in (QUICK if asked.quick else FULL).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    for kind, known in (("scenarios", [s.name for s in SCENARIOS]), ("sides", list(SIDES))):
        for name in (getattr(asked, kind) or known[0]).split(","):
            if name not in known:
                parser.error(f"no such {kind[:-1]}: {name}")
    if asked.plot and not plot.available():
        parser.error("--plot wants matplotlib: pip install 'siphond[plot]'")
    return asked


def add_growth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--growth", action="store_true", help="CPU a call by workers and by transactions, instead")
    for kind, usual in (("workers", "1,2,4"), ("transactions", "100,1000,10000,100000")):
        parser.add_argument(f"--growth-{kind}", type=growth.numbers, default=growth.numbers(usual), metavar=usual)


def plan_of(asked: argparse.Namespace) -> Plan:
    return Plan(
        workers=asked.workers,
        rates=tuple(float(rate) for rate in asked.rates.split(",")),
        seconds=asked.seconds,
        warm_up=asked.warm_up,
        flight=asked.flight,
        linger=asked.linger,
        idle=asked.idle,
        search_seconds=asked.search_seconds,
        search_precision=asked.precision,
    )


def scenario_of(name: str, asked: argparse.Namespace) -> Scenario:
    scenario = named(name)
    if name == "lookups":
        scenario = replace(scenario, users=asked.bindings)
    return replace(scenario, steering=asked.steering) if asked.steering else scenario


def sides_of(asked: argparse.Namespace) -> list[str]:
    """Those that can be measured here; a line about each that cannot."""
    found = []
    for side in asked.sides.split(",") if asked.sides else SIDES:
        why = kamailio_server.missing(side) if side.startswith("kamailio") else ""
        if why:
            print(f"without {side}: {why}")
        else:
            found.append(side)
    return found


def compare(scenario: Scenario, sides: list[str], plan: Plan, rounds: int) -> dict[str, Any]:
    """One scenario: traces of all sides, then the rounds."""
    traces = {side: traced(side, scenario, plan) for side in sides}
    measured: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            measured[side].append(measure(side, scenario, plan))
    return {
        "scenario": asdict(scenario),
        "traces": traces,
        "differences": report.differences(traces),
        "rounds": measured,
        "summary": report.summary(measured),
    }


def show(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}: {result['scenario']['what']}")
    print(report.table(result))
    for words in (report.traces_in_words(result), report.complaints_in_words(result)):
        if words:
            print(words)
    sys.stdout.flush()


def grown(asked: argparse.Namespace, sides: list[str], plan: Plan) -> dict[str, Any]:
    """Sides that nobody named: both servers, each with its own language."""
    chosen = sides if asked.sides else [side for side in sides if side in ("siphond", "kamailio")]
    call = scenario_of("call", asked)
    found = {growth.WORKERS: growth.by_workers(call, chosen, plan, asked.growth_workers, asked.rounds)}
    return found | {
        growth.TRANSACTIONS: growth.by_transactions(call, plan, asked.growth_transactions, asked.rounds)
        if "siphond" in chosen
        else []
    }


def measured_results(asked: argparse.Namespace) -> dict[str, Any]:
    plan = plan_of(asked)
    found = machine.description()
    results: dict[str, Any] = {
        "command": page.command_of(sys.argv[1:]),
        "machine": found,
        "machine_in_words": machine.in_words(found),
        "plan": asdict(plan) | {"rounds": asked.rounds},
        "scenarios": {},
    }
    print(results["machine_in_words"])
    if slow := machine.warning(found["python_options"]):
        print(slow)
    if found["siphond_built"] != machine.BY_PROFILE:
        print(f"siphond was built {found['siphond_built']}: ./dev build --pgo makes it faster")
    sides = sides_of(asked)
    driver_process.built()
    bed = results["test_bed"] = test_bed(named("call"), min(2, plan.seconds))
    print(f"load generator without a server: {bed['calls_per_second']:.0f} calls/s, {bed['cpu_us']:.0f} us a call")
    print(
        f"{plan.workers} workers; steady {asked.rates} calls/s for {plan.seconds:g} s; {plan.flight} at one time for "
        f"{plan.seconds / 2:g} s; {asked.rounds} rounds",
        flush=True,
    )
    if asked.growth:
        results["growth"] = grown(asked, sides, plan)
        print(growth.table(results["growth"]))
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=1) + "\n")
        return results
    for name in asked.scenarios.split(","):
        chosen = [side for side in sides if asked.sides or name == "call" or side != DefaultKamailio.name]
        results["scenarios"][name] = compare(scenario_of(name, asked), chosen, plan, asked.rounds)
        show(name, results["scenarios"][name])
        if asked.json:  # what is there is there, whatever comes
            asked.json.write_text(json.dumps(results, indent=1) + "\n")
    return results


def main() -> int:
    asked = options()
    began = time.monotonic()
    if asked.source:
        results = json.loads(asked.source.read_text())
        print(results["machine_in_words"])
        for name, result in results["scenarios"].items():
            show(name, result)
        if "growth" in results:
            print(growth.table(results["growth"]))
    else:
        try:
            results = measured_results(asked)
        except RuntimeError as error:  # a server that does not start, or that crashed under load
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:  # servers have been stopped, what was finished is in --json
            return 130
        print(f"\ntook {time.monotonic() - began:.0f} s")
    if asked.plot and results["scenarios"]:
        plot.draw(results, asked.plot)
    if asked.fill:
        page.fill(asked.fill, results, asked.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
