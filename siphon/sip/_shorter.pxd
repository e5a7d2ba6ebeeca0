# Declarations of _shorter.pyx.

from siphon.sip._message_cy cimport SipMessage

cpdef SipMessage without(SipMessage m, int i)
