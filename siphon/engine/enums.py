"""Members of enums at the price of class attributes.

CPython 3.11 keeps the members of an enum in the class, and its metaclass still has the `__getattr__` of older versions,
which is asked for nothing any more (3.12 has dropped it). Its mere presence makes the interpreter look up every
attribute of every enum by a call instead of by the class's cache: four times the price, some hundreds of times a call.
"""

import sys
from enum import EnumType


def make_members_cheap() -> None:
    """For this process, before it serves. May be called again."""
    if sys.version_info < (3, 12) and "__getattr__" in vars(EnumType):
        del EnumType.__getattr__  # type: ignore[attr-defined]
