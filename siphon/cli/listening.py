"""The addresses that an instance listens on: what cannot be had is a refusal of the start."""

from collections.abc import Iterator
from contextlib import contextmanager

from siphon.cli.exits import Exit, Refusal
from siphon.config.settings import Settings
from workers.sockets import AddressInUse, CannotListen, ListenAddress, require_free


def addresses_of(settings: Settings) -> list[ListenAddress]:
    """Those of listen.udp."""
    return [(address.ip, address.port, address.dscp) for address in settings.listen.udp]


def require_addresses(settings: Settings) -> None:
    """Refusal where one is in use or is not ours. They are bound for a moment only."""
    with refusals():
        require_free(addresses_of(settings))


@contextmanager
def refusals() -> Iterator[None]:
    """What cannot be listened on, as a Refusal."""
    try:
        yield
    except AddressInUse as error:
        raise Refusal(Exit.IN_USE, f"listen.udp: {error}") from None
    except CannotListen as error:
        raise Refusal(Exit.CONFIGURATION, f"listen.udp: {error}") from None
