"""Names of next hops to addresses: RFC 3263 over DNS and the hosts file, with a cache that all workers share; ENUM."""

from siphon.services.dns.answers import Answers
from siphon.services.dns.e164 import Enum
from siphon.services.dns.order import Address
from siphon.services.dns.resolver import Resolver
from siphon.services.dns.rests import Rests

__all__ = ["Address", "Answers", "Enum", "Resolver", "Rests"]
