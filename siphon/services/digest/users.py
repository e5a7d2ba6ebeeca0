"""What a user's secret is: a password, or HA1 values made for the realm (one for each algorithm)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from siphon.config.settings import User
from siphon.services.digest.hashes import Algorithm

_HEX = re.compile(r"[0-9a-fA-F]+")
_HA1_KEYS = {"ha1": Algorithm.MD5, "ha1_sha256": Algorithm.SHA_256, "ha1_sha512_256": Algorithm.SHA_512_256}
_HA1_DIGITS = {Algorithm.MD5: 32, Algorithm.SHA_256: 64, Algorithm.SHA_512_256: 64}


@dataclass(frozen=True, slots=True)
class Secret:
    """A password, or HA1 hex digits by algorithm. A user with HA1s can answer only with an algorithm that has one."""

    password: bytes | None = None
    ha1: Mapping[Algorithm, bytes] = field(default_factory=dict)

    @classmethod
    def from_password(cls, password: str) -> Secret:
        return cls(password.encode("utf-8", "surrogateescape"))

    @classmethod
    def from_ha1(cls, ha1: str) -> Secret:
        """From one HA1: 32 hex digits serve MD5, 64 SHA-256; ValueError for anything else."""
        algorithm = {32: Algorithm.MD5, 64: Algorithm.SHA_256}.get(len(ha1))
        if algorithm is None:
            raise ValueError(f"an HA1 has 32 or 64 hex digits, this one has {len(ha1)} characters")
        return cls(ha1={algorithm: _digits(ha1, algorithm)})

    @classmethod
    def of_algorithm(cls, ha1: str, algorithm: Algorithm) -> Secret:
        """From one HA1 made for this algorithm; ValueError for anything else."""
        return cls(ha1={algorithm: _digits(ha1, algorithm)})

    @classmethod
    def from_setting(cls, user: User) -> Secret:
        """From a value of `auth.users`, which is a password or a table of HA1s."""
        if user.password is not None:
            return cls.from_password(user.password)
        given = ((algorithm, getattr(user, key)) for key, algorithm in _HA1_KEYS.items())
        return cls(ha1={algorithm: _digits(digits, algorithm) for algorithm, digits in given if digits is not None})


def users_from_settings(users: Mapping[str, User]) -> dict[bytes, Secret]:
    """`auth.users` as a look-up table by the name's bytes."""
    return {name.encode("utf-8", "surrogateescape"): Secret.from_setting(value) for name, value in users.items()}


def _digits(text: str, algorithm: Algorithm) -> bytes:
    if len(text) != _HA1_DIGITS[algorithm] or not _HEX.fullmatch(text):
        raise ValueError(f"an HA1 for {algorithm.value} is {_HA1_DIGITS[algorithm]} hex digits")
    return text.lower().encode()
