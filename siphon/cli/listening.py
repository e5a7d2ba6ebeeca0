"""The addresses that an instance listens on: what cannot be had is a refusal of the start."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from siphon.cli import directory
from siphon.cli.exits import Exit, Refusal
from siphon.config.log import Log
from siphon.config.settings import Settings
from workers.sockets import AddressInUse, CannotListen, ListenAddress, require_free


def addresses_of(settings: Settings) -> list[ListenAddress]:
    """Those of listen.udp."""
    return [(address.ip, address.port, address.dscp) for address in settings.listen.udp]


def require_addresses(settings: Settings, there: Sequence[Sequence[socket.socket]]) -> None:
    """Refusal where one is in use or is not ours. They are bound for a moment only; those that have sockets already,
    `there` by address, are not."""
    with refusals():
        require_free([wanted for wanted, kept in zip(addresses_of(settings), there, strict=True) if not kept])


@contextmanager
def refusals() -> Iterator[None]:
    """What cannot be listened on, as a Refusal."""
    try:
        yield
    except AddressInUse as error:
        raise Refusal(Exit.IN_USE, f"listen.udp: {error}") from None
    except CannotListen as error:
        raise Refusal(Exit.CONFIGURATION, f"listen.udp: {error}") from None


def note_listeners(settings: Settings, log: Log, anew: bool) -> None:
    """Keeps listen.udp for the next start, and tells which addresses of the last one stand in their places no more:
    records name a listener by its number. `anew`: the tables are empty, nothing names any."""
    place = settings.shared.path
    addresses = [address.address for address in settings.listen.udp]
    try:
        before = directory.read_note(place, directory.LISTENERS).get("udp", [])
        directory.write_note(place, directory.LISTENERS, {"udp": addresses})
    except (OSError, ValueError) as error:
        log.error("listeners.not_noted", error=str(error))
        return
    gone = [address for number, address in enumerate(before) if addresses[number : number + 1] != [address]]
    if gone and not anew:
        log.warn("listener.gone", addresses=", ".join(gone), instead="what has its place, or the first of its family")
