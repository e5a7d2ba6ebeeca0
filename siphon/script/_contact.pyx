"""Contact: a binding as a look-up gives it to a script. Every call has one made, and a target of a fork of it.

The parts of its binding are looked at when a script asks for them, or forks.
"""

# cython: boundscheck=False, wraparound=False

cimport cython

from siphon.script._actions cimport TargetSpec

from siphon.script.flow import address, udp_flow

cdef tuple SCHEMES = ("sip:", "sips:")
cdef tuple OWN_PARAMS = ("+sip.instance", "reg-id")
cdef tuple NOWHERE = (None, None)

cdef enum:
    KEPT = 256


cdef class Places:
    """The listeners that REGISTERs were sent to, by transport and address, of one Identity."""

    cdef object identity
    cdef dict found

    cdef tuple of(self, identity, transport, local):
        """The index of the listener and that address; None for both where there is none now."""
        if identity is None:
            return NOWHERE
        cdef dict found
        if identity is not self.identity:
            self.identity, self.found = identity, {}
        found = self.found  # of this identity, also when another thread brings a new one meanwhile
        key = (transport, local)
        place = found.get(key)
        if place is None:
            if len(found) >= KEPT:
                found.clear()
            place = found[key] = place_of(identity, transport, local)
        return place


cdef tuple place_of(identity, transport, local):
    ip, port = local
    for listener in identity.listeners:
        if listener.port != port or str(listener.transport).lower() != transport:
            continue
        if listener.ip == ip or (listener.wildcard and (":" in listener.ip) == (":" in ip)):
            return listener.index, address(ip, port)
    return NOWHERE


cdef Places places = Places.__new__(Places)


cdef Contact contact_of(binding, services, double wall):
    """A binding of an address of record as it is now."""
    cdef Contact made = Contact.__new__(Contact)
    made.uri, made.binding, made.services, made.wall = binding.uri, binding, services, wall
    return made


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Contact:
    """A binding of an address of record, as it was at the look-up; `str()` is its URI."""

    kind = "ue"

    def __init__(self, binding, services, double wall, *, bint elsewhere=False):
        """`elsewhere`: this process has no sockets, so no binding is local to it."""
        self.uri, self.binding, self.services, self.wall = binding.uri, binding, services, wall
        self.elsewhere = elsewhere

    @property
    def q(self):
        """Preference, 1.0 when the client gave none."""
        return self.binding.q

    @property
    def expires(self):
        """Remaining seconds."""
        return self.binding.remaining(self.wall)

    @property
    def age_secs(self):
        """Seconds since the last refresh."""
        return self.binding.age(self.wall)

    @property
    def received(self):
        """`sip:ip:port;transport=x` of the observed source of the REGISTER."""
        return f"sip:{address(*self.binding.source)};transport={self.binding.transport}"

    @property
    def path(self):
        """The stored Path values."""
        return list(self.binding.path)

    @property
    def instance_id(self):
        """`+sip.instance` as sent, without its quotes."""
        for name, value in self.binding.params:
            if name.lower() == "+sip.instance":
                return None if value is None else value.strip('"')
        return None

    @property
    def instance_epoch(self):
        """Start id of the instance that accepted the binding."""
        return self.binding.epoch or None

    @property
    def listener(self):
        """Index of the listener that the REGISTER came in on, None when this instance has it no more."""
        return places.of(self.services.identity, self.binding.transport, self.binding.local)[0]

    @property
    def is_local(self):
        """Whether the binding can be reached over `flow` from here; False in on_change."""
        if self.elsewhere:
            return False
        epoch = self.binding.epoch
        return self.listener is not None or (bool(epoch) and epoch == self.services.instance_id)

    @property
    def flow(self):
        """The captured flow."""
        found = self.binding
        return udp_flow(found.source, found.local) if found.transport == "udp" else None

    @property
    def flow_token(self):
        """The token given to save()."""
        return self.binding.flow_token

    @property
    def params(self):
        """Other Contact parameters, names in lower case."""
        pairs = [(name.lower(), value) for name, value in self.binding.params]
        return [pair for pair in pairs if pair[0] not in OWN_PARAMS]

    cpdef TargetSpec target(self):
        """This binding as one entry of a fork: Path first, else its source when behind NAT, else its URI."""
        cdef TargetSpec made = TargetSpec.__new__(TargetSpec)
        cdef str uri = self.uri
        cdef tuple place
        found = self.binding
        place = places.of(self.services.identity, found.transport, found.local)
        made.uri, made.path, made.received, made.q = uri, found.path, found.source, found.q
        made.listener, made.local_addr = place
        if found.behind_nat and not made.path and self.is_local:
            made.via_source = True
            flow = self.flow
            made.flow = None if flow is None else flow.spec()
        made.is_contact = True
        made.valid = uri.startswith("sip:") or uri[:5].lower().startswith(SCHEMES)
        return made

    def __str__(self):
        return self.uri

    def __repr__(self):
        return f"Contact({self.uri!r}, q={self.q}, expires={self.expires})"
