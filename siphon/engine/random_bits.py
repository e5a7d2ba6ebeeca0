"""Unpredictable bits of the kernel for keys, salts and branches of one process."""

from __future__ import annotations

import os

DRAWN = 4096


class RandomBits:
    """Drawn 4 kB at a time: a system call a request costs more than the bits. Made after fork, so that no two processes
    have the same."""

    def __init__(self) -> None:
        self._drawn = b""

    def __call__(self, bits: int) -> int:
        size = bits // 8
        if len(self._drawn) < size:
            self._drawn = os.urandom(DRAWN)
        taken, self._drawn = self._drawn[:size], self._drawn[size:]
        return int.from_bytes(taken)
