"""What one gateway.select() costs over shared memory, microseconds of CPU, by algorithm and number of destinations.

.venv/bin/python bench/gateway_select.py
"""

import tempfile
import time
from pathlib import Path

from shm.table import Table
from siphon.config.testing import settings_for_tests
from siphon.script import binding
from siphon.script.context import Services
from siphon.script.gateways import Gateway
from siphon.services.balancing import ALGORITHMS, Group, Groups, Upstream

TIMES = 50_000
ROUNDS = 5


def main() -> None:
    gateway = Gateway()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        table = Table.create(Path(place) / "gateways", records=257, blocks=768, slots=64)
        table.slot = 0
        for count in (2, 4, 16):
            for algorithm in ALGORITHMS:
                members = tuple(Upstream(f"sip:{n}.example.net", f"192.0.2.{n}:5060") for n in range(count))
                groups = Groups(table, b"k" * 32, [Group("pool", members, algorithm)], "bench", time.time)
                groups.tidy()
                settings = settings_for_tests(gateway={})
                binding.bind(binding.Binding(settings, Services(gateways=groups)))
                print(f"{algorithm:12} {count:3} destinations  {cost(gateway):5.2f} us")


def cost(gateway: Gateway) -> float:
    """The best of some rounds: others use the machine as well."""
    best = 1e9
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TIMES):
            gateway.select("pool", key="call")
        best = min(best, time.process_time() - began)
    return best / TIMES * 1e6


if __name__ == "__main__":
    main()
