"""The same calls over shared memory and over a Redis on this machine, in one run.

    .venv/bin/python bench/stores.py [--workers N] [--steering flow|spread] [--seconds S] [--rates 20,50]

As bench/sipp_calls.py: SIPp calls SIPp through a siphond that runs the recipe, two records a call. The CPU of Redis is
its own column. `setup ms` is SIPp's time from INVITE to 200; the phone answers at once.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/processes"), str(ROOT / "bench")]

from proxy_process import Siphond  # noqa: E402
from redis_servers import Server, server  # noqa: E402
from sipp_calls import measure  # noqa: E402
from sipp_runner import SippRunner  # noqa: E402


def cpu_seconds(redis: Server) -> float:
    facts = redis.client().info("cpu")
    return float(facts["used_cpu_user"] + facts["used_cpu_sys"])


def commands(redis: Server) -> int:
    return int(redis.client().info("stats")["total_commands_processed"])


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU a call over shared memory and over Redis.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steering", choices=["flow", "spread"], default="flow")
    parser.add_argument("--seconds", type=int, default=10, help="length of each run")
    parser.add_argument("--rates", default="20,50", help="calls a second, one run each")
    asked = parser.parse_args()
    rates = [int(rate) for rate in asked.rates.split(",")]
    print(f"{asked.workers} workers, steering {asked.steering}, {asked.seconds} s a rate")
    print("store   calls/s   calls  failed  repeats  setup ms  siphond us/call  idle us/s  redis us/call", flush=True)
    with server() as redis:
        for name, store in (("shm", "shm"), ("redis", f"redis://127.0.0.1:{redis.port}")):
            with tempfile.TemporaryDirectory() as place:
                directory = Path(place)
                proxy = Siphond(directory, workers=asked.workers, steering=asked.steering, store=store)
                sipp = SippRunner(directory)
                proxy.tolerated = r"redis\.down"
                try:
                    proxy.start()
                    time.sleep(2)
                    before = proxy.cpu_seconds()
                    time.sleep(5)
                    idle = (proxy.cpu_seconds() - before) / 5
                    for rate in rates:
                        at_redis, began = cpu_seconds(redis), time.monotonic()
                        counted, spent = measure(proxy, sipp, rate, asked.seconds)
                        spent -= idle * (time.monotonic() - began)
                        at_redis = cpu_seconds(redis) - at_redis
                        calls = max(1, counted.calls)
                        print(
                            f"{name:6} {rate:8d} {counted.successful:7d} {counted.failed:7d}"
                            f" {counted.retransmissions:8d} {counted.setup_ms:9.1f} {spent / calls * 1e6:16.0f}"
                            f" {idle * 1e6:10.0f} {at_redis / calls * 1e6:14.0f}",
                            flush=True,
                        )
                finally:
                    sipp.close()
                    proxy.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
