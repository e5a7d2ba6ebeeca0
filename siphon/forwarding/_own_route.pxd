# Declarations of _own_route.pyx.

from siphon.sip._message_cy cimport SipMessage

cpdef str only_route(SipMessage m, identity, signer)
cpdef list without_line(SipMessage m, name)
