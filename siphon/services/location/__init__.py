"""The registrar: what a REGISTER changes (`register`), and where it is kept (`Location`)."""

from siphon.services.location.aor import address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.facts import RegisterFacts, register_facts
from siphon.services.location.location import Location
from siphon.services.location.register import Event, RegisterResult, apply_register

__all__ = [
    "AddressRecord",
    "Binding",
    "Event",
    "Location",
    "RegisterFacts",
    "RegisterResult",
    "address_of_record_of",
    "apply_register",
    "register_facts",
]
