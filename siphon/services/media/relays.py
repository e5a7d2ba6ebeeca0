"""The media relays of the configuration: which one a call goes to, and whether they are well.

A new call is placed by weight among the relays that are well, and its relay recorded (calls.py) before it is asked.
When that one stays silent, or says that it is full, the next is asked, so a call that meets a relay's death is late by
one `timeout_ms` at most and not lost; that holds for an offer in a running call too, whose media on a dead relay is
lost anyway. All other commands go to the relay of the record and nowhere else.

Each process judges for itself: a relay is asked for a sign of life every `health_check_interval_secs` (every second, if
that is longer, while it is silent), any silence makes it unwell, any answer well. When none is well a new call fails at
once instead of waiting for all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from typing import Any, TypeVar

from siphon.config.log import INFO, WARN, Log
from siphon.config.media import Engine, Engines, Media
from siphon.config.values import split_address
from siphon.services.media.backend import Backend, Description, MediaError, Overloaded, Relay
from siphon.services.media.calls import Call, Calls
from siphon.services.media.link import Link, NoAnswer
from siphon.services.media.ng import OWN_REPLACEMENTS, Ng
from siphon.services.media.profiles import Profile, profiles_of
from siphon.services.media.rtpproxy import RtpProxy

SILENT_SECS = 1.0
"""A relay that is unwell is asked so often at least."""
_SESSION_NAME = re.compile(rb"^s=[^\r\n]*", re.MULTILINE)

T = TypeVar("T")


class MediaRelays:
    """The relays as one process sees them. `chance` draws from [0, 1)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        calls: Calls,
        clock: Callable[[], float],
        chance: Callable[[], float],
        log: Log,
    ) -> None:
        self._loop = loop
        self._calls = calls
        self._clock = clock
        self._chance = chance
        self._log = log
        self._relays: dict[str, Relay] = {}
        self._backend: Backend = Ng()
        self._check: asyncio.TimerHandle | None = None
        self._pings: set[asyncio.Task[bool]] = set()
        self._interval = 5.0
        self._context = Context()
        """Of what no call has asked for."""
        self._sdp_name = b""
        self.profiles: dict[str, Profile] = {}

    def configure(self, settings: Media, calls: Calls | None = None) -> None:
        """Work by these settings from now on. A relay that stays keeps its health, and calls keep their relays."""
        self._calls = calls or self._calls
        self._backend = Ng() if settings.backend == "rtpengine" else RtpProxy()
        self._interval = settings.health_check_interval_secs
        self._sdp_name = settings.sdp_name.encode()
        self.profiles = profiles_of(settings.profiles)
        engines = _engines(settings.rtpengine if settings.backend == "rtpengine" else settings.rtpproxy)
        before, self._relays = self._relays, {}
        for engine in engines:
            assert engine.address is not None
            relay = before.pop(engine.address, None)
            timing = (engine.timeout_ms, engine.retries)
            if relay is None:
                relay = Relay(engine.address, 0, Link(self._loop, split_address(engine.address), *timing))
            relay.weight, relay.link.timing = engine.weight, timing
            self._relays[engine.address] = relay
        for gone in before.values():
            gone.link.close()
        self._look()

    def close(self) -> None:
        """Ask nobody any more."""
        if self._check is not None:
            self._check.cancel()
        for task in self._pings:
            task.cancel()
        for relay in self._relays.values():
            relay.link.close()

    @property
    def count(self) -> int:
        """Relays of the configuration."""
        return len(self._relays)

    @property
    def active(self) -> int:
        """Calls of the instance whose media is placed."""
        return self._calls.count()

    # -- operations

    async def offer(self, description: Description, profile: str) -> bytes:
        """The description of an offer for the other side. MediaError; StoreError when the call cannot be recorded."""
        tried: set[str] = set()
        known = self._calls.find(description.call_id)
        is_new = known is None
        relay = None if known is None else self._relays.get(known.relay)
        if relay is None or not relay.healthy:
            relay = self._pick(tried) or relay
        while True:
            if relay is None:
                raise MediaError("no media relay answers" if self._relays else "no media relay is configured")
            relay = self._placed(description.call_id, relay, profile, known)
            tried.add(relay.address)
            other = self._pick(tried)
            try:
                sdp = await self._watched(relay, self._backend.offer(relay, description, patient=other is None))
                return self._named(description, sdp)
            except (NoAnswer, Overloaded) as error:
                if other is None:
                    if is_new:
                        self._calls.remove(description.call_id)
                    raise _as_media_error(relay, error) from None
                self._log.often(WARN, "media.next_relay", 2, relay=relay.address, reason=str(error))
                known, relay = Call(relay.address, profile), other

    async def answer(self, description: Description, profile: str | None) -> bytes:
        """The description of an answer for who offered. `description.side` is the profile's where it is given."""
        relay, known = self._of(description.call_id)
        if known is not None:
            self._calls.place(description.call_id, known, self._clock())
        try:
            return self._named(description, await self._watched(relay, self._backend.answer(relay, description)))
        except NoAnswer as error:
            raise _as_media_error(relay, error) from None

    def profile_of(self, call_id: str) -> str | None:
        """The profile of the call's offer."""
        known = self._calls.find(call_id)
        return None if known is None else known.profile

    async def delete(self, call_id: str, from_tag: str, to_tag: str | None) -> None:
        """End the media of a call; what fails is logged."""
        try:
            relay, _ = self._of(call_id)
            self._calls.remove(call_id)
            await self._watched(relay, self._backend.delete(relay, call_id, from_tag, to_tag))
        except (NoAnswer, RuntimeError) as error:
            self._log.often(WARN, "media.delete", 2, call=call_id, reason=str(error))

    async def command(self, call_id: str, name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Another command about a call that is placed."""
        relay, _ = self._of(call_id)
        try:
            return await self._watched(relay, self._backend.command(relay, name, {"call-id": call_id, **fields}))
        except NoAnswer as error:
            raise _as_media_error(relay, error) from None

    async def ping(self) -> bool:
        """Whether any relay answers now."""
        if not self._relays:
            return False
        return any(await asyncio.gather(*(self._ping(relay) for relay in self._relays.values())))

    # -- which relay

    def _pick(self, without: set[str]) -> Relay | None:
        """One that is well, by weight."""
        able = [one for one in self._relays.values() if one.healthy and one.weight and one.address not in without]
        at = self._chance() * sum(one.weight for one in able)
        for relay in able:
            at -= relay.weight
            if at < 0:
                return relay
        return able[-1] if able else None

    def _placed(self, call_id: str, relay: Relay, profile: str, known: Call | None) -> Relay:
        """The relay of the record, once it is written: another worker may have been faster."""
        before = None if known is None or known.relay == relay.address else known.relay
        placed = self._calls.place(call_id, Call(relay.address, profile), self._clock(), before)
        return self._relays.get(placed.relay, relay)

    def _of(self, call_id: str) -> tuple[Relay, Call | None]:
        known = self._calls.find(call_id)
        if known is None and len(self._relays) == 1:
            return next(iter(self._relays.values())), None
        relay = None if known is None else self._relays.get(known.relay)
        if relay is None:
            why = "no offer of this call is known" if known is None else f"{known.relay} is no longer configured"
            raise MediaError(f"media of {call_id}: {why}")
        return relay, known

    def _named(self, description: Description, sdp: bytes) -> bytes:
        """With our session name, where the side asks for it."""
        if not any(one in OWN_REPLACEMENTS for one in description.side.replace):
            return sdp
        name = self._sdp_name
        return _SESSION_NAME.sub(lambda _: b"s=" + name, sdp, count=1)

    # -- health

    def _look(self) -> None:
        """Ask all for a sign of life, now and then."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        if not self._relays:
            return
        for relay in self._relays.values():
            task = self._loop.create_task(self._ping(relay))
            self._pings.add(task)
            task.add_done_callback(self._pings.discard)
        well = all(relay.healthy for relay in self._relays.values())
        self._look_in(self._interval if well else min(self._interval, SILENT_SECS))

    def _look_in(self, secs: float) -> None:
        self._check = self._loop.call_later(secs, self._look, context=self._context)

    async def _ping(self, relay: Relay) -> bool:
        try:
            return await self._watched(relay, self._backend.ping(relay))
        except (NoAnswer, MediaError):
            return False

    async def _watched(self, relay: Relay, asking: Awaitable[T]) -> T:
        """What was asked, and what it says about the relay."""
        try:
            answer = await asking
        except NoAnswer as error:
            self._judge(relay, False, str(error))
            raise
        except MediaError:
            self._judge(relay, True)
            raise
        self._judge(relay, True)
        return answer

    def _judge(self, relay: Relay, well: bool, why: str = "") -> None:
        if relay.healthy == well or self._relays.get(relay.address) is not relay:
            return
        relay.healthy = well
        if well:
            self._log.often(INFO, "media.relay_up", 5, relay=relay.address)
        else:
            self._log.often(WARN, "media.relay_down", 5, relay=relay.address, reason=why)
            if self._check is not None and self._check.when() > self._loop.time() + SILENT_SECS:
                self._check.cancel()
                self._look_in(SILENT_SECS)


def _engines(settings: Engines | None) -> list[Engine]:
    """Those of `instances`, or the one of `address`."""
    if settings is None:
        return []
    if settings.instances or settings.address is None:
        return list(settings.instances)
    fields = settings.model_dump(exclude={"instances"})
    return [Engine.model_validate(fields)]


def _as_media_error(relay: Relay, error: Exception) -> MediaError:
    return error if isinstance(error, MediaError) else MediaError(f"{relay.address}: {error}")
