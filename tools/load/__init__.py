"""What `./dev chaos` and `./dev soak` share: a siphond of their own, SIPp's calls, phones that register, and figures of
what siphond takes. The pieces that run processes are those of the tests (tests/processes)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/processes")]
