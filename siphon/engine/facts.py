"""Facts that an engine derives from its configuration and its script."""

from __future__ import annotations

import contextlib
import socket

from siphon.config.settings import Settings
from siphon.engine.keys import Keys
from siphon.forwarding.signer import RouteSigner
from siphon.script.runtime import Runtime
from siphon.sip.identity import Identity, Listener
from siphon.state.record import Record
from siphon.transaction.timing import Timing


def identity_of(settings: Settings) -> Identity:
    """Who we are: listeners, advertised names, domains."""
    listeners = [
        Listener(index, "udp", address.ip, address.port, address.advertise, address.ip in ("0.0.0.0", "::"))
        for index, address in enumerate(settings.listen.udp)
    ]
    return Identity(listeners, settings.advertised_address, settings.domain.local, local_addresses())


def local_addresses() -> list[str]:
    """Numeric addresses of this machine as far as a name look-up tells; loopback always."""
    found = {"127.0.0.1", "::1"}
    with contextlib.suppress(OSError):
        found.update(str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None))
    return sorted(found)


def timing_of(settings: Settings) -> Timing:
    """The timers of RFC 3261 as configured."""
    t = settings.transaction
    return Timing(t.t1, t.t2, t.t4, t.timer_c, t.linger)


def signer_of(settings: Settings, keys: Keys) -> RouteSigner | None:
    """Signs our Record-Route; None when the configuration switches that off."""
    return RouteSigner(keys.route_secrets) if settings.proxy.sign_record_route else None


def families_of(identity: Identity) -> list[int]:
    """The address families that we can send in, that of the first listener first."""
    return list(dict.fromkeys(6 if ":" in listener.ip else 4 for listener in identity.listeners))


class ScriptFacts:
    """Which handlers a record's script version has."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.replies = runtime.replies

    def has_reply(self, record: Record) -> bool:
        """A global on_reply, or one given to relay() or fork()."""
        return bool(record.on_reply) or self._runtime.has_reply_handlers(record.script_version)

    def has_failure(self, record: Record) -> bool:
        """A global on_failure, or one given to relay() or fork()."""
        return bool(record.on_failure) or self._runtime.has_failure_handlers(record.script_version)

    def has_cancel(self, record: Record) -> bool:
        """An on_cancel handler."""
        return self._runtime.has_cancel_handlers(record.script_version)
