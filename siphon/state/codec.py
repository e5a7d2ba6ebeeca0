"""Records to bytes and back (siphon/state/layout.py says where each byte lies).

`decode` raises BadRecord on anything that is not a whole record of this layout: lengths are checked before they are
used, nothing is evaluated. The table's checksum is the first defence, this is the second.
"""

from siphon.state._codec import SAME, BadRecord, decode, encode

__all__ = ["SAME", "BadRecord", "decode", "encode"]
