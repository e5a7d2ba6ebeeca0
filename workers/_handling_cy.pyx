"""The mark in a slot that a script runs, in C: set and taken away for each request.

While it is there the stall limit of handlers holds, not that of the loop.
"""

cimport cython

from workers.net import boottime


@cython.final
cdef class Handling:
    """Of one process. Entering may be nested: `depth` says how often."""

    def __init__(self, slots, int slot):
        self.set_handler = slots.set_handler
        self.slot = slot
        self.depth = 0

    def enter(self):
        """A handler begins now."""
        self.enter_at(boottime())

    def enter_at(self, double now):
        """A handler begins at this moment of CLOCK_BOOTTIME."""
        self.depth += 1
        if self.depth == 1:
            self.set_handler(self.slot, now)

    def leave(self):
        """A handler has returned, or awaits."""
        self.depth -= 1
        if self.depth == 0:
            self.set_handler(self.slot, 0.0)
