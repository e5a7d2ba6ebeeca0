"""What a reader sees: each metric with its series added up over slots, as text for Prometheus or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from siphon.services.metrics.definition import GAUGE, HISTOGRAM, Definition
from siphon.services.metrics.records import DEFINITION, SERIES, Values, unpack_definition, unpack_series
from siphon.services.store import BadRecord, RecordTable, StoreError, read

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: the metric's name and a suffix, labels, value."""

    suffix: str
    labels: Mapping[str, str]
    value: float


@dataclass(slots=True)
class Family:
    """A metric with all its lines."""

    name: str
    kind: str
    help: str
    samples: list[Sample] = field(default_factory=list)


def families(table: RecordTable) -> list[Family]:
    """The metrics of scripts, by name. What cannot be read is left out; what an older definition has counted too."""
    found: dict[str, Definition] = {}
    for value in _values(table, DEFINITION):
        try:
            definition = unpack_definition(value).definition
        except BadRecord:
            continue
        found[definition.name] = definition
    sums: dict[str, dict[Values, list[float]]] = {name: {} for name in found}
    for value in _values(table, SERIES):
        try:
            series = unpack_series(value)
        except BadRecord:
            continue
        known = found.get(series.name)
        if known is None or known.id != series.of or len(series.numbers) != known.numbers:
            continue
        into = sums[series.name].setdefault(series.values, [0.0] * known.numbers)
        into[:] = [one + other for one, other in zip(into, series.numbers, strict=True)]
    return [_family(definition, sums[name]) for name, definition in sorted(found.items())]


def _values(table: RecordTable, owner: int) -> Iterator[bytes]:
    for key, _, _ in table.owned(owner):
        try:
            found = read(table, key)
        except StoreError:
            continue
        if found is not None:
            yield found[1]


def _family(definition: Definition, series: dict[Values, list[float]]) -> Family:
    made = Family(definition.name, definition.kind, definition.help)
    if not series and not definition.labels:
        series = {(): [0.0] * definition.numbers}
    for values, numbers in sorted(series.items()):
        labels = dict(zip(definition.labels, values, strict=True))
        if definition.kind == HISTOGRAM:
            made.samples += histogram(labels, definition.buckets, numbers)
        else:
            made.samples.append(Sample("", labels, numbers[0]))
    return made


def histogram(labels: Mapping[str, str], buckets: Iterable[float], numbers: list[float]) -> Iterator[Sample]:
    """The lines of one histogram: each bucket counts what is not above its bound."""
    count = 0.0
    for bound, number in zip((*buckets, None), numbers, strict=False):
        count += number
        yield Sample("_bucket", {**labels, "le": "+Inf" if bound is None else shown(bound)}, count)
    yield Sample("_sum", labels, numbers[-1])
    yield Sample("_count", labels, count)


def text(found: Iterable[Family]) -> str:
    """The text format of Prometheus, version 0.0.4."""
    lines: list[str] = []
    for family in found:
        escaped = family.help.replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"# HELP {family.name} {escaped}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in sample.labels.items())
            where = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{sample.suffix}{where} {shown(sample.value)}")
    return "\n".join(lines) + "\n"


def to_json(found: Iterable[Family]) -> list[dict[str, Any]]:
    """For programs; values as text where JSON has no number for them."""
    return [
        {
            "name": family.name,
            "type": family.kind,
            "help": family.help,
            "samples": [
                {"name": family.name + s.suffix, "labels": dict(s.labels), "value": _plain(s.value)}
                for s in family.samples
            ],
        }
        for family in found
    ]


def shown(value: float) -> str:
    """A number as Prometheus reads it."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _plain(value: float) -> float | str:
    return value if value == value and abs(value) != float("inf") else shown(value)


def _quoted(value: str) -> str:
    clean = value.encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


__all__ = ["CONTENT_TYPE", "GAUGE", "Family", "Sample", "families", "histogram", "shown", "text", "to_json"]
