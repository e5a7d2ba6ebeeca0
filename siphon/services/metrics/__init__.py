"""Metrics of scripts: counters, gauges and histograms that all processes of an instance share (API 15.3)."""

from siphon.services.metrics.definition import COUNTER, DEFAULT_BUCKETS, GAUGE, HISTOGRAM, MOST_SERIES, Definition
from siphon.services.metrics.families import Family, Sample, families
from siphon.services.metrics.metrics import Metrics

__all__ = [
    "COUNTER",
    "DEFAULT_BUCKETS",
    "GAUGE",
    "HISTOGRAM",
    "MOST_SERIES",
    "Definition",
    "Family",
    "Metrics",
    "Sample",
    "families",
]
