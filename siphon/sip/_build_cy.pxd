# Declarations of _build_cy.py: what the short ways of the engine need of it.

from siphon.sip._message_cy cimport SipMessage

cdef bytes trying_for(SipMessage request, bytes server_line)
cdef bytes response_of(SipMessage request, int status, reason, bytes to_tag, headers, bytes body, server)
