"""The store's time in ours: CLOCK_BOOTTIME here, TIME there.

Each answer brings the store's time, taken at some moment between our sending and our receiving. So the difference of
the clocks is known to within half a round trip. The sample with the smallest round trip of the last WINDOW_SECS counts;
older ones go, since clocks drift and administrators set them.
"""

from __future__ import annotations

WINDOW_SECS = 30.0


class StoreClock:
    """The clock of one server. All times are seconds."""

    __slots__ = ("_best", "_newer")

    def __init__(self) -> None:
        self._best: tuple[float, float, float] | None = None  # round trip, difference, when
        self._newer: tuple[float, float, float] | None = None  # the best of the second half of the window

    def sample(self, sent: float, received: float, store: float) -> None:
        """An answer that was made at `store` by the store's clock."""
        trip = max(0.0, received - sent)
        new = (trip, store - (sent + received) / 2, received)
        if self._best is None or trip <= self._best[0]:
            self._best = self._newer = new
            return
        if self._newer is None or trip <= self._newer[0] or self._newer is self._best:
            self._newer = new
        if received - self._best[2] > WINDOW_SECS:
            self._best, self._newer = self._newer, new

    @property
    def known(self) -> bool:
        return self._best is not None

    @property
    def difference(self) -> float:
        """Seconds that the store's clock shows more than ours; 0.0 before the first answer."""
        return self._best[1] if self._best is not None else 0.0

    @property
    def error(self) -> float:
        """The most by which `difference` may be wrong."""
        return self._best[0] / 2 if self._best is not None else float("inf")

    def store_time(self, boottime: float) -> float:
        return boottime + self.difference

    def boottime(self, store: float) -> float:
        return store - self.difference
