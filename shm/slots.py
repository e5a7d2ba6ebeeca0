"""Worker slots in shared memory: see `_slots.pyx`."""

from shm._slots import Slots
from shm.values import LayoutMismatch, NoSpace, SlotCondition, SlotState

__all__ = ["LayoutMismatch", "NoSpace", "SlotCondition", "SlotState", "Slots"]
