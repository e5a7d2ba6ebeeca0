"""What a metric is: name, kind, help, labels, buckets; checked by the rules of Prometheus.

ValueError for whatever its text format could not carry: names and labels of other characters, labels that begin with
`__` (kept for Prometheus itself), `le` of a histogram, buckets that do not rise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"
MOST_SERIES = 128
"""Combinations of label values of one metric."""
MOST_LABELS = 16
MOST_BUCKETS = 64
LONGEST_NAME = 200
LONGEST_HELP = 1000
LONGEST_VALUE = 256
"""Characters of a label's value; what is longer is cut."""
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, as Prometheus' own clients have them."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


@dataclass(frozen=True)
class Definition:
    """One metric. `buckets` are upper bounds without the last, +Inf; empty where it is no histogram."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = field(default=())

    @cached_property
    def id(self) -> bytes:
        """8 bytes that are others for another name, kind, labels or buckets."""
        facts = repr((self.name, self.kind, self.labels, self.buckets)).encode()
        return blake2b(facts, digest_size=8).digest()

    @property
    def numbers(self) -> int:
        """How many numbers one series has: a histogram has its buckets, +Inf and the sum."""
        return len(self.buckets) + 2 if self.kind == HISTOGRAM else 1

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names that its lines have."""
        suffixes = ("_bucket", "_sum", "_count") if self.kind == HISTOGRAM else ("",)
        return tuple(self.name + suffix for suffix in suffixes)

    def is_same(self, other: Definition) -> bool:
        """Whether both have the same records: help does not matter."""
        return self.id == other.id

    def is_equal_but_buckets(self, other: Definition) -> bool:
        """Whether registering both is registering one."""
        return (self.name, self.kind, self.labels) == (other.name, other.kind, other.labels)


def define(
    name: str, kind: str, text: str, labels: Sequence[str] | None, buckets: Sequence[float] | None = None
) -> Definition:
    """Checks what a script said. TypeError where it is not even of the right type."""
    if not isinstance(name, str):
        raise TypeError(f"name is a str, not {type(name).__name__}")
    if not isinstance(text, str):
        raise TypeError(f"help is a str, not {type(text).__name__}")
    if not _NAME.match(name) or name.startswith("__") or len(name) > LONGEST_NAME:
        raise ValueError(f"{name!r} is no name of a metric: letters, digits, _ and :, no digit and no __ first")
    return Definition(name, kind, text[:LONGEST_HELP], _labels(name, kind, labels), _buckets(kind, buckets))


def _labels(name: str, kind: str, labels: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(labels, str) or not (labels is None or isinstance(labels, Iterable)):
        raise TypeError(f"labels is a list of str, not {type(labels).__name__}")
    found = tuple(labels or ())
    for label in found:
        if not isinstance(label, str):
            raise TypeError(f"a label is a str, not {type(label).__name__}")
        if not _LABEL.match(label) or label.startswith("__") or len(label) > LONGEST_NAME:
            raise ValueError(f"{name}: {label!r} is no label: letters, digits and _, no digit and no __ first")
        if label == "le" and kind == HISTOGRAM:
            raise ValueError(f"{name}: the label le of a histogram is that of its buckets")
    if len(set(found)) != len(found) or len(found) > MOST_LABELS:
        raise ValueError(f"{name}: labels are at most {MOST_LABELS}, each once")
    return found


def _buckets(kind: str, buckets: Sequence[float] | None) -> tuple[float, ...]:
    if kind != HISTOGRAM:
        return ()
    if isinstance(buckets, (str, bytes)) or not (buckets is None or isinstance(buckets, Iterable)):
        raise TypeError(f"buckets is a list of numbers, not {type(buckets).__name__}")
    found = tuple(number(bound, "a bucket") for bound in (DEFAULT_BUCKETS if buckets is None else buckets))
    if found and found[-1] == math.inf:
        found = found[:-1]
    if not 1 <= len(found) <= MOST_BUCKETS or not all(map(math.isfinite, found)):
        raise ValueError(f"buckets are 1 to {MOST_BUCKETS} finite numbers")
    if any(one >= other for one, other in zip(found, found[1:], strict=False)):
        raise ValueError("buckets rise")
    return found


def number(value: object, name: str) -> float:
    """A number that a script gave; TypeError for anything else, ValueError for one that no float holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large a number") from None


def rising(value: object, name: str) -> float:
    """What a counter may be raised by; ValueError below zero or where it is not finite."""
    found = number(value, name)
    if not 0 <= found < math.inf:
        raise ValueError(f"{name} is a finite number that is not below 0, not {value!r}")
    return found
