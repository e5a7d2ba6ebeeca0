"""The registrar: what a REGISTER changes (`register`), and where it is kept (`Location`)."""

from siphon.services.location.accepted import Granted
from siphon.services.location.aor import address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.changes import Changes, Event
from siphon.services.location.facts import RegisterFacts, register_facts
from siphon.services.location.location import Change, Location
from siphon.services.location.register import RegisterResult, apply_register

__all__ = [
    "AddressRecord",
    "Binding",
    "Change",
    "Changes",
    "Event",
    "Granted",
    "Location",
    "RegisterFacts",
    "RegisterResult",
    "address_of_record_of",
    "apply_register",
    "register_facts",
]
