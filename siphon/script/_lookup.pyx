"""`registrar.lookup`: what the call of an INVITE asks of the namespace; the rest of it is siphon/script/registrar.py."""

# cython: boundscheck=False, wraparound=False

from siphon.script._binding cimport Binding, current
from siphon.script._contact cimport contact_of
from siphon.script._text cimport is_plain
from siphon.script._uri cimport UriFields

from siphon.script import text


cpdef object aor_of(uri):
    """The text of an address of record as a script gives it; TypeError, and ValueError where it has CR, LF or NUL."""
    if isinstance(uri, UriFields):
        uri = (<UriFields>uri)._text
    elif not isinstance(uri, str):
        raise TypeError(f"an address of record is a str or SipUri, not {type(uri).__name__}")
    return uri if type(uri) is str and is_plain(<str>uri) else text.one_line(uri, "address of record")


cdef class Lookups:
    """Of the namespace `registrar`."""

    def lookup(self, uri):
        """Live bindings of an address of record: highest q first, then the most recently refreshed."""
        cdef Binding bound = current()
        services = bound.services
        wall = services.wall()
        location = services.location
        if location is None:
            raise RuntimeError("the registrar is not there: a script may use it in handlers, not while it is loaded")
        wanted = aor_of(uri)
        finding = getattr(location, "finding", None)
        found = None if finding is None else finding.live(wanted, wall)
        if found is not None:
            return [contact_of(found, services, wall)]
        return [contact_of(found, services, wall) for found in location.lookup(wanted, wall)]
