"""Timers of scripts, kept where all workers see them."""

from siphon.services.timers.timers import LONGEST_KEY, Entry, Kind, Timers

__all__ = ["LONGEST_KEY", "Entry", "Kind", "Timers"]
