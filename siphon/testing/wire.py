"""A bad network: delay, loss, duplication and reordering, all drawn from one generator.

It is fair in one thing: of datagrams that say the same to one address never more than `in_a_row` are lost one after
another, so that what is repeated often enough arrives, and "a final always comes" can be checked without probabilities.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from siphon.sip.message import parse
from siphon.testing.ladder import Ladder
from siphon.testing.peer import PROXY, Peer
from siphon.testing.schedule import Schedule

Place = tuple[str, int]
STALE_SECS = 80.0
"""Longer than any non-INVITE transaction with its Timer J."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. Delays in seconds; the rest are probabilities."""

    fastest: float = 0.001
    slowest: float = 0.001
    loss: float = 0.0
    duplicate: float = 0.0
    in_a_row: int = 2
    stale: float = 0.0
    """Of responses to the proxy: a copy comes so late that its transaction may have begun anew."""


CALM = Weather()


class Wire:
    """Carries datagrams between peers and the proxy. `arrive` takes what reaches the proxy, `refused` ICMP errors."""

    def __init__(
        self,
        schedule: Schedule,
        clock: Callable[[], float],
        random: Random,
        ladder: Ladder,
        weather: Weather,
        arrive: Callable[[bytes, Place], None],
        refused: Callable[[bytes], None],
    ) -> None:
        self.schedule = schedule
        self.clock = clock
        self.weather = weather
        self.peers: dict[Place, Peer] = {}
        self.dead: list[Place] = []
        """Addresses whose machine answers by ICMP."""
        self.epochs: Tally[bytes] = Tally()
        """How often the client of a Call-ID has begun anew with the same bytes, after the first time was over."""
        self.links: dict[str, Weather] = {}
        """Links with a weather of their own, by the address at their far end."""
        self.taps: list[Callable[[Place, Place, bytes], None]] = []
        """Told of every datagram that is sent."""
        self._random = random
        self._ladder = ladder
        self._arrive = arrive
        self._refused = refused
        self._losses: dict[tuple[Place, bytes], int] = {}

    def send(self, source: Place, to: Place, data: bytes, note: str = "") -> None:
        """Carry a datagram: lost, once or twice, sooner or later."""
        draw = self._random.random
        weather = self.links.get(source[0] if to == PROXY else to[0], self.weather)
        for tap in self.taps:
            tap(source, to, data)
        copies = 2 if draw() < weather.duplicate else 1
        for _ in range(copies):
            lost = draw() < weather.loss and self._may_lose(to, data, weather.in_a_row)
            self._ladder.message(text(source), text(to), f"{note} LOST" if lost else note, data)
            if not lost:
                delay = weather.fastest + draw() * (weather.slowest - weather.fastest)
                self.schedule.at(self.clock() + delay, self._deliver, source, to, data)
        if to == PROXY and data.startswith(b"SIP/") and draw() < weather.stale:
            self.schedule.at(self.clock() + STALE_SECS + 5 * draw(), self._deliver, source, to, data)

    @property
    def loses(self) -> bool:
        """Whether a datagram may be lost on any link."""
        return any(weather.loss for weather in (self.weather, *self.links.values()))

    def inject(self, source: Place, data: bytes) -> None:
        """A datagram that reaches the proxy whatever it is: nothing here reads it."""
        self._ladder.note(f"{source[0]} sends {data[:60]!r}")
        self.schedule.at(self.clock() + self.weather.fastest, self._arrive, data, source)

    def _may_lose(self, to: Place, data: bytes, in_a_row: int) -> bool:
        what = (to, _saying(data))
        lost = self._losses.get(what, 0)
        self._losses[what] = (lost + 1) % (in_a_row + 1)
        return lost < in_a_row

    def _deliver(self, source: Place, to: Place, data: bytes) -> None:
        if to == PROXY:
            self._arrive(data, source)
        elif to in self.dead:
            if source == PROXY:
                self.schedule.at(self.clock() + self.weather.fastest, self._refused, data)
        elif to in self.peers:
            self.peers[to].receive(data)


def _saying(data: bytes) -> bytes:
    """What a datagram says: the same for all ACKs to one 2xx, which differ in their branches."""
    m = parse(data)
    what = m.method.encode() if m.is_request else b"%d" % m.status
    return b"%b %b %d %b %b" % (what, m.call_id, m.cseq, m.cseq_method.encode(), m.to_tag or b"")


def text(place: Place) -> str:
    """An address as the ladder prints it."""
    return "proxy" if place == PROXY else f"{place[0]}:{place[1]}"
