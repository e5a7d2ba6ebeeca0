"""What one source may take: requests in a window, live transactions; counted by all workers together."""

from siphon.services.limits.sources import LiveTransactions
from siphon.services.limits.windows import Windows

__all__ = ["LiveTransactions", "Windows"]
