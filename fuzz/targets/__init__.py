"""The targets by name. Each module states its invariant in one sentence."""

from __future__ import annotations

import importlib

from fuzz.target import Target

NAMES = ("message", "reference", "uri", "edits", "record", "digest", "register", "dns", "media", "engine")


def target(name: str) -> Target:
    """The target of that name; KeyError when there is none."""
    if name not in NAMES:
        raise KeyError(name)
    found = importlib.import_module(f"fuzz.targets.{name}").TARGET
    assert isinstance(found, Target)
    return found
