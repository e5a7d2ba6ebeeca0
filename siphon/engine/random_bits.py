"""Unpredictable bits of the kernel for keys, salts and branches of one process (siphon/engine/_random_bits.pyx)."""

from siphon.engine._random_bits import RandomBits as RandomBits
