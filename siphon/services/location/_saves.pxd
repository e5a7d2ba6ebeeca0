# Declarations of _saves.pyx.

from siphon.services._msgpack cimport Writing
from siphon.services._rows cimport Rows
from siphon.services.location._wanted cimport Name, Wanted
from siphon.sip._blake cimport Keyed
from siphon.sip._grammar_cy cimport UriSpan
from siphon.sip._message_cy cimport SipMessage

cdef class PlainSaves:
    cdef object location, index, identity
    cdef Rows rows
    cdef public object check
    cdef dict hosts
    cdef bytes ours         # the host that was ours last
    cdef Keyed keyed
    cdef str epoch, date    # ... as the answers of that second have it
    cdef long long date_at
    cdef int least, most, default
    cdef bint matches_user

    cdef list apply(self, SipMessage m, bytes transaction, tuple source, tuple local, bint behind_nat, str auth_user,
                    double wall)
    cdef bint reads_to(self, SipMessage m, UriSpan *u) except -1
    cdef bint is_ours(self, SipMessage m, int s, int e) except -1
    cdef bint reads_contact(self, SipMessage m, Wanted *w) except -1
    cdef bint reads_lifetime(self, SipMessage m, Wanted *w) except -1
    cdef bint is_own(self, SipMessage m, const UriSpan *to, str user) except -1
    cdef bint knows_itself(self, SipMessage m, tuple source) except -1
    cdef list store(self, SipMessage m, Wanted *w, const Name *aor, bytes transaction, tuple source, tuple local,
                    bint nat, double wall, tuple facts)
    cdef bint writes(self, Writing *out, SipMessage m, Wanted *w, const Name *aor, bytes transaction, tuple source,
                     tuple local, bint nat, double wall) except -1
    cdef list headers(self, SipMessage m, Wanted *w, double wall)
    cdef bint points(self, SipMessage m, Wanted *w, const Name *aor, double wall, double until, bint adds) except -1
