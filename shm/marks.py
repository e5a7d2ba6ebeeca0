"""Following the changes of a table: see `_marks.pyx` for the strategy."""

from shm._marks import Marks
from shm.values import Place

__all__ = ["Marks", "Place"]
