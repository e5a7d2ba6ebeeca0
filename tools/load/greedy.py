"""The routing of a chaos run: the tests' recipe, and a handler that eats all memory once its worker has a limit.

What a script that leaks does in weeks happens within one request: nothing is left for the next allocation, whoever
makes it.
"""

import resource

from siphon import proxy

KEPT: list[bytearray] = []


@proxy.on_request
def eat(request: object) -> None:
    if resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY:
        for size in (1 << 16, 1 << 12, 1 << 9, 1 << 6):
            take(size)


def take(size: int) -> None:
    """As many pieces as there are."""
    try:
        while True:
            KEPT.append(bytearray(size))
    except MemoryError:
        pass
