"""Copies of SIP messages for a collector."""

from siphon.services.tracing.hep3 import packet
from siphon.services.tracing.way import Way, way_of

__all__ = ["Way", "packet", "way_of"]
