"""The namespace `metrics`: counters, gauges and histograms that a script defines (API 15.3).

A metric is a name for numbers in the shared state; the object that a script holds has none of its own, so it may live
in a module's global over any number of processes and reloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from siphon.script import binding, log
from siphon.services.metrics import COUNTER, GAUGE, HISTOGRAM, Definition
from siphon.services.metrics import Metrics as Store
from siphon.services.metrics.definition import LONGEST_VALUE, define, number, rising
from siphon.state.memory import MemoryTable

BUILT_IN = "siphon_"
"""Names that begin so are those of the server."""

_unbound: Store | None = None


def _store() -> Store:
    """Those of the process. Where nothing runs (a scratch process, a test without an engine) they live in memory."""
    global _unbound
    bound = binding.find()
    if bound is not None:
        if bound.services.metrics is None:
            bound.services.metrics = _in_memory()
        found: Store = bound.services.metrics
        return found
    if _unbound is None:
        _unbound = _in_memory()
    return _unbound


def _in_memory() -> Store:
    return Store(MemoryTable(), b"metrics", lambda: 0)


class _Metric:
    __slots__ = ("_definition", "_values")

    def __init__(self, definition: Definition, values: tuple[str, ...] | None = None) -> None:
        self._definition = definition
        self._values = () if values is None and not definition.labels else values

    def _of(self) -> tuple[str, ...]:
        if self._values is None:
            names = ", ".join(self._definition.labels)
            raise ValueError(f"{self._definition.name} has labels: .labels({names}) first")
        return self._values

    def __repr__(self) -> str:
        labels = zip(self._definition.labels, self._values or (), strict=False)
        shown = ", ".join(f"{name}={value!r}" for name, value in labels)
        return f"<{self._definition.kind} {self._definition.name}{f' {shown}' if shown else ''}>"


Child = TypeVar("Child", bound=_Metric)


class _Labelled(_Metric, Generic[Child]):
    __slots__ = ()

    def labels(self: Child, /, **values: object) -> Child:
        """The series with these label values, each label once; ValueError where one is missing or unknown."""
        definition = self._definition
        if self._values is not None:
            what = "has its labels already" if definition.labels else "has no labels"
            raise ValueError(f"{definition.name} {what}")
        if values.keys() != set(definition.labels):
            raise ValueError(
                f"{definition.name} has the labels {', '.join(definition.labels)}, not {', '.join(values)}"
            )
        texts = tuple(str(values[name])[:LONGEST_VALUE] for name in definition.labels)
        return type(self)(definition, texts)


class Counter(_Labelled["Counter"]):
    """A number that only rises."""

    __slots__ = ()

    def inc(self, n: float = 1.0) -> None:
        """Raise it; ValueError for less than nothing."""
        _store().add(self._definition, self._of(), rising(n, "n"))


class Gauge(_Labelled["Gauge"]):
    """A number that is set: one for all processes."""

    __slots__ = ()

    def set(self, v: float) -> None:
        """Set it, whoever set it before."""
        _store().set(self._definition, self._of(), number(v, "v"))

    def inc(self, n: float = 1.0) -> None:
        """Raise it."""
        _store().add(self._definition, self._of(), number(n, "n"))

    def dec(self, n: float = 1.0) -> None:
        """Lower it."""
        _store().add(self._definition, self._of(), -number(n, "n"))


class Histogram(_Labelled["Histogram"]):
    """How often values were how large."""

    __slots__ = ()

    def observe(self, v: float) -> None:
        """Count a value; ValueError where it is no finite number."""
        value = number(v, "v")
        if value - value != 0:
            raise ValueError(f"v is a finite number, not {v!r}")
        _store().observe(self._definition, self._of(), value)


class Metrics:
    """`from siphon import metrics`."""

    __slots__ = ()

    def counter(self, name: str, help: str, labels: Sequence[str] | None = None) -> Counter:  # noqa: A002
        """The counter of that name; registering it again is no fault."""
        return Counter(_registered(name, COUNTER, help, labels))

    def gauge(self, name: str, help: str, labels: Sequence[str] | None = None) -> Gauge:  # noqa: A002
        """The gauge of that name."""
        return Gauge(_registered(name, GAUGE, help, labels))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] | None = None,
        buckets: Sequence[float] | None = None,
    ) -> Histogram:
        """The histogram of that name; `buckets` are upper bounds, those of Prometheus' clients if absent."""
        return Histogram(_registered(name, HISTOGRAM, help, labels, buckets))

    def __repr__(self) -> str:
        return "<namespace metrics>"


def _registered(
    name: str, kind: str, text: str, labels: Sequence[str] | None, buckets: Sequence[float] | None = None
) -> Definition:
    definition = define(name, kind, text, labels, buckets)
    if name.startswith(BUILT_IN):
        raise ValueError(f"{name}: names that begin with {BUILT_IN} are those of siphond itself")
    found = _store().register(definition)
    if buckets is not None and found.buckets != definition.buckets:
        log.warn_of_script(f"metrics.histogram: {name} is already there with other buckets, which stay")
    return found
