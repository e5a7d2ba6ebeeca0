"""What fuzz/driver.c asks for: the check of the target that the environment names, on the instrumented modules."""

from __future__ import annotations

import os
from pathlib import Path

from fuzz.instrumented import use
from fuzz.target import Check


def prepare() -> tuple[Check, bool]:
    """The check, and whether lines of Python count."""
    use(Path(os.environ["SIPHOND_FUZZ_MODULES"]))
    from fuzz.targets import target  # not before the modules are in place

    chosen = target(os.environ["SIPHOND_FUZZ_TARGET"])
    return chosen.make(), chosen.python
