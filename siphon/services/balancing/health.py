"""Whether an upstream is healthy, as a value, and what the result of a probe makes of it. Pure.

    answered, not with 503           healthy, whatever was before
    no answer, or 503                one failure more; at the threshold it is down
    503 with Retry-After             down at once, and until that time is over no answer counts
    mark_up, mark_down               hold until the next result

`drained` is an administrator's word: the upstream gets no calls until it is taken back, whatever probes say; they go
on, so that one sees when it is ready. Times are CLOCK_BOOTTIME, `since` is wall time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

LONGEST_SECS = 86400.0
"""A Retry-After of more is taken as a day."""
UNAVAILABLE = 503


class Health(NamedTuple):
    """Of one upstream. `failures` in a row, counted up to the threshold; `until`: it has asked to be left alone so
    long; `since`: when `healthy` changed last, 0.0 never; `status`: of the last probe, 0 no answer, -1 none yet;
    `ips`: what its name resolves to."""

    healthy: bool = True
    failures: int = 0
    until: float = 0.0
    drained: bool = False
    since: float = 0.0
    status: int = -1
    ips: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it may get calls."""
        return self.healthy and not self.drained


def health_of_row(row: Sequence[Any]) -> Health:
    """From a record. Raises ValueError, TypeError."""
    healthy, failures, until, drained, since, status, ips = row
    return Health(healthy, failures, until, drained, since, status, tuple(ips))


def judge(health: Health, status: int, retry_after: float, threshold: int, now: float, wall: float) -> Health:
    """After a probe that ended with `status` (0: no answer)."""
    if health.until > now:
        return health
    if status not in (0, UNAVAILABLE):
        return _turned(health, True, wall)._replace(failures=0, until=0.0, status=status)
    failed = health._replace(failures=min(health.failures + 1, threshold), until=0.0, status=status)
    if status and retry_after > 0:
        return _turned(failed, False, wall)._replace(until=now + min(retry_after, LONGEST_SECS))
    return _turned(failed, False, wall) if failed.failures >= threshold else failed


def marked(health: Health, up: bool, wall: float) -> Health:
    """As a script or an administrator says. Up takes back a drain and a wait; failures go on being counted, so the next
    result decides."""
    found = _turned(health, up, wall)._replace(until=0.0)
    return found._replace(drained=False) if up else found


def _turned(health: Health, healthy: bool, wall: float) -> Health:
    return health if health.healthy == healthy else health._replace(healthy=healthy, since=wall)
