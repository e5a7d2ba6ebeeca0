"""Unpredictable bits of the kernel for keys, salts and branches of one process."""

from __future__ import annotations

import os

DRAWN = 4096


class RandomBits:
    """Drawn 4 kB at a time: a system call a request costs more than the bits. Made after fork, so that no two processes
    have the same."""

    def __init__(self) -> None:
        self._drawn = b""
        self._taken = DRAWN

    def __call__(self, bits: int) -> int:
        start = self._taken
        end = start + bits // 8
        if end > DRAWN:
            self._drawn = os.urandom(DRAWN)
            start, end = 0, bits // 8
        self._taken = end
        return int.from_bytes(self._drawn[start:end])
