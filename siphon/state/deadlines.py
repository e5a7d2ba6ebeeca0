"""Which deadline of a record comes next, and how long the record must stay readable.

Both follow from the record alone, so that any worker that reads it knows when to act: the last committer arms the
earliest deadline of the whole record (siphon/engine/core.py), the table expires what is past its last one.
"""

from siphon.state._deadlines import PENDING_GRACE, expiry, next_deadline

__all__ = ["PENDING_GRACE", "expiry", "next_deadline"]
