"""Deleting what has expired: see `_expiry.pyx` for the strategy."""

from shm._expiry import SETTLE, Sweep

__all__ = ["SETTLE", "Sweep"]
