"""The modules of bench/ are no package: `./dev bench` runs them from their folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
