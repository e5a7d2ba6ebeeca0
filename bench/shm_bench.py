"""How long the shared table takes for a value of 1.5 kB: from compiled code and from Python, few records and many.

    .venv/bin/python bench/shm_bench.py [--records N ...] [--limit NANOSECONDS]

Each figure is the best of several runs: the machine's other work only adds. With --limit the exit status is 1 when get
or commit from compiled code takes longer on the smallest set of records.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shm.table import Table  # noqa: E402

SETUP = """
from setuptools import Extension, setup
from Cython.Build import cythonize
modules = [Extension("shm_loops", ["shm_loops.pyx"], extra_compile_args=["-O2", "-w"], libraries=["pthread"])]
setup(name="shm_loops", ext_modules=cythonize(modules, include_path=[{root!r}], quiet=True))
"""
SIZE = 1500
RUNS = 7


def loops(folder: str) -> ModuleType:
    """Compile shm_loops.pyx against the table's declarations."""
    shutil.copy2(ROOT / "bench" / "shm_loops.pyx", folder)
    Path(folder, "setup.py").write_text(SETUP.format(root=str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    sys.path.insert(0, folder)
    return importlib.import_module("shm_loops")


def python_ns(table: Table, keys: list[bytes], versions: list[int], value: bytes) -> tuple[float, float]:
    """A get and a commit called from Python, in ns."""
    began = time.perf_counter_ns()
    for key in keys:
        table.get(key)
    middle = time.perf_counter_ns()
    for i, key in enumerate(keys):
        versions[i] = table.commit(key, versions[i], value, owner=1)
    ended = time.perf_counter_ns()
    return (middle - began) / len(keys), (ended - middle) / len(keys)


def measure(module: ModuleType, folder: str, records: int) -> dict[str, float]:
    path = f"{folder}/table{records}"
    table = Table.create(path, records=records * 2, blocks=records * 8, slots=8)
    table.slot = 0
    value = os.urandom(SIZE)
    keys = [os.urandom(16) for _ in range(records)]
    flat = b"".join(keys)
    versions = [table.commit(key, 0, value, owner=1) for key in keys]
    new = os.urandom(16 * min(records, 2000))
    rounds = max(1, 20_000 // records)
    best: dict[str, float] = {}
    for _ in range(RUNS):
        get, commit = python_ns(table, keys, versions, value)
        run = {
            "get": module.gets(table, flat, rounds),
            "commit": module.commits(table, flat, versions, value, rounds),
            "head": module.looks(table, flat, rounds),
            "insert+delete": module.inserts_and_deletes(table, new, value, rounds),
            "get, Python": get,
            "commit, Python": commit,
        }
        best = {name: min(ns, best.get(name, ns)) for name, ns in run.items()}
    assert table.verify().sound
    table.close()
    os.unlink(path)
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[100, 1000, 100_000])
    parser.add_argument("--limit", type=float, help="ns that get and commit may take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="siphond-bench-", dir="/dev/shm") as folder:
        module = loops(folder)
        results = {records: measure(module, folder, records) for records in arguments.records}
    print(f"{'ns, value of ' + str(SIZE) + ' bytes':28}" + "".join(f"{records:>10} rec" for records in results))
    for name in next(iter(results.values())):
        print(f"{name:28}" + "".join(f"{best[name]:14.0f}" for best in results.values()))
    first = results[min(results)]
    if arguments.limit is not None and max(first["get"], first["commit"]) > arguments.limit:
        print(f"get or commit took longer than {arguments.limit:.0f} ns", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
