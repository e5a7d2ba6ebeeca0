"""Names of next hops to addresses: RFC 3263 over DNS and the hosts file, with a cache that decisions read; ENUM."""

from siphon.services.dns.e164 import Enum
from siphon.services.dns.order import Address
from siphon.services.dns.resolver import Resolver
from siphon.services.dns.rests import Rests

__all__ = ["Address", "Enum", "Resolver", "Rests"]
