"""Who is not served: banned sources, users whose password is being guessed, networks that are exempt."""

from siphon.services.bans.bans import Ban, Bans, entries
from siphon.services.bans.failures import Failures
from siphon.services.bans.trusted import Trusted
from siphon.services.bans.units import parse_unit, unit_of

__all__ = ["Ban", "Bans", "Failures", "Trusted", "entries", "parse_unit", "unit_of"]
