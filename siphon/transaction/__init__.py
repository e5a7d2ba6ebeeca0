"""RFC 3261 §17, RFC 6026 and RFC 4320: four state machines as tables, one file each. No socket, no clock, no store."""
