"""The helper process `admin`: an Application that serves HTTP from its asyncio loop and reads the shared tables.

It is forked once the configuration has `metrics.prometheus` or `admin`, at the start or by a reload. It owns nothing:
who dies is forked again, and clients ask again. A reload that changes a listener closes the old one and opens the new.
"""

from __future__ import annotations

import ipaddress
import time
from typing import Any

from siphon.cli.admin.access import Access, origins_of
from siphon.cli.admin.app import Site, admin_routes, application, metrics_routes, page_route
from siphon.cli.admin.listener import Listener
from siphon.config.settings import Settings
from siphon.config.values import split_address
from siphon.engine.facts import identity_of, signer_of
from siphon.engine.keys import Keys
from siphon.engine.location_store import store_of
from siphon.engine.quiet_helper import QuietHelper
from siphon.engine.services import services_of
from siphon.services.bans import Bans
from siphon.services.location import Location

NAME = "admin"


def wants_admin(settings: Settings) -> bool:
    """Whether there is anything to serve."""
    return settings.admin is not None or settings.metrics.prometheus is not None


class AdminHelper(QuietHelper):
    """`tells_changes`: the script has handlers of registrar.on_change, which hear of what is removed here."""

    tells_changes = False
    location: Location
    listeners: list[Listener]

    def begin(self) -> None:
        """See QuietHelper.begin."""
        self.log.process = NAME
        self.location_store = store_of(self.settings, self.shared, self.context.aio.loop, self.log)
        self.location = self._location()
        self.listeners = []
        self.facts: object = None
        self._serve()

    def configure(self, settings: Settings) -> None:
        """See QuietHelper.configure."""
        super().configure(settings)
        self.location = self._location()
        self._serve()

    def stopping(self) -> None:
        """Clients ask again."""
        for listener in self.listeners:
            listener.close()

    def finish(self) -> bool:
        """Another siphond's helper takes the addresses when this process has ended."""
        return True

    def _location(self) -> Location:
        keys = Keys(self.shared.secret, self.settings.auth.nonce_secret)
        identity, signer = identity_of(self.settings), signer_of(self.settings, keys)
        made: Location = services_of(
            self.settings, self.shared, identity, signer, keys, store=self.location_store
        ).location
        made.tell = self.shared.changes.tell if self.tells_changes else None
        return made

    def _serve(self) -> None:
        """The listeners of the settings; those that have not changed stay as they are."""
        facts = (self.settings.admin, self.settings.metrics.prometheus, self.settings.shared.timeout_ms)
        if facts == self.facts:
            return
        self.facts = facts
        for listener in self.listeners:
            listener.close()
        loop = self.context.aio.loop
        self.listeners = [Listener(address, app, loop, self.log) for address, app in self._applications().items()]
        for listener in self.listeners:
            listener.open()

    def _applications(self) -> dict[str, Any]:
        settings = self.settings
        timeout = settings.shared.timeout_ms / 1000
        keys = Keys(self.shared.secret, settings.auth.nonce_secret)
        bans = Bans(self.shared.bans, keys.table, time.time, self.shared.evict_bans)
        site = Site(settings.shared.path, self.shared.metrics, lambda: self.location, bans, timeout, self.log)
        admin, prometheus = settings.admin, settings.metrics.prometheus
        routes: dict[str, list[Any]] = {}
        origins: dict[str, list[str]] = {}
        if prometheus is not None:
            routes[prometheus.listen] = metrics_routes(site, prometheus.path)
            origins[prometheus.listen] = origins_of(prometheus.cors)
        if admin is not None:
            ip = ipaddress.ip_address(split_address(admin.listen)[0])
            cors = origins_of(admin.cors)
            access = Access(admin.auth.token, admin.auth.protect_reads, ip.is_loopback, cors)
            routes.setdefault(admin.listen, []).extend(admin_routes(site, access))
            if admin.ui.enabled:
                routes[admin.listen].append(page_route(site, access))
            origins[admin.listen] = [*origins.get(admin.listen, []), *cors]
        return {address: application(found, origins[address]) for address, found in routes.items()}
