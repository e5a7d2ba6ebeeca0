"""What bindings take, and what finding and ending them costs, is measured by a command; figures are not judged."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_memory_look_ups_and_expiry_of_bindings_are_printed_and_kept(tmp_path):
    file = tmp_path / "bindings.json"
    line = [sys.executable, ROOT / "bench/bindings.py", "--bindings", "1500", "--few", "300", "--json", file]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(file.read_text())
    assert 2.0 <= found["records_a_binding"] <= found["room_a_binding"]
    assert found["bytes_a_binding"] > 500 and found["lookup_few_us"] > 1 and found["lookup_all_us"] > 1
    assert found["turns"] > 1500 // 64 and 0 < found["longest_ms"] < 1000
    names = [line[:14].strip() for line in done.stdout.splitlines()]
    assert names == ["records", "memory", "lookup", "expiry", "longest turn"]
    slow = found["longest_ms"] > 5 or found["lookup_times"] > 2
    assert done.returncode == int(slow)
