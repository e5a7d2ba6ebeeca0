"""The Store over the shared-memory table (shm/table.py), for Python and, without an object a step, for the short ways.

Datagrams are put into the worker's outbox and leave by one sendmmsg that the table calls under the record's mutex; when
the commit fails the outbox is emptied, so nothing is sent that no committed record explains.
"""

# cython: boundscheck=False, wraparound=False

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memcpy

from shm._layout cimport ABSENT, BUSY, CONFLICT, FULL, KEY, TOO_LONG, VALUE_MAX, Descriptor, Facts, action_t
from shm._table cimport Table
from workers._net_cy cimport Outbox

from siphon.state.store import CONFLICT as CONFLICTING
from siphon.state.store import FULL as NO_ROOM
from siphon.state.store import Busy, Loaded, Send


cdef extern from *:
    """
    /* A named tuple of four, as its __new__ would make it. */
    static PyObject *siphond_four(PyObject *type, PyObject *a, PyObject *b, PyObject *c, PyObject *d)
    {
        PyObject *made = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 4);
        if (made == NULL)
            return NULL;
        Py_INCREF(a); Py_INCREF(b); Py_INCREF(c); Py_INCREF(d);
        PyTuple_SET_ITEM(made, 0, a); PyTuple_SET_ITEM(made, 1, b);
        PyTuple_SET_ITEM(made, 2, c); PyTuple_SET_ITEM(made, 3, d);
        return made;
    }
    """
    object siphond_four(object type, object a, object b, object c, object d)

if not issubclass(Send, tuple) or Send._fields != ("data", "to", "listener", "source"):
    raise ImportError("a datagram to be sent has other fields")

cdef object DATAGRAM = Send


cdef object datagram(bytes data, tuple to, int listener, str source):
    """A Send, for less than a call of its class."""
    return siphond_four(DATAGRAM, data, to, listener, source)


cdef class ShmStore:
    """One process's view of the shared table. `failed`: datagrams of committed steps that the kernel would not send;
    whoever reads them empties the list. `tap.sent(send)` hears of each that has left, once its commit stands and outside of
    the locks; None: nobody wants to know."""

    at_once = True

    def __init__(self, Table table not None, Outbox outbox not None):
        self.table = table
        self.outbox = outbox
        self.send = <action_t><void *><uintptr_t>outbox.function_address
        self.send_argument = <void *><uintptr_t>outbox.argument_address
        self.failed = []
        self.tap = None

    def load(self, bytes key not None):
        """See Store.load."""
        cdef Descriptor d
        cdef int64_t got = self.table.fetch_into(name(key), self.table.scratch, VALUE_MAX, &d)
        if got >= 0:
            return Loaded(d.version, PyBytes_FromStringAndSize(<char *>self.table.scratch, got))
        return Busy() if got == BUSY else None

    def commit(self, commit not None):
        """See Store.commit."""
        cdef int64_t got
        cdef bytes value = commit.value
        sends = commit.sends
        if value is None:
            got = self.erase(commit.key, commit.expected, sends)
        else:
            got = self.put(commit.key, commit.expected, value, commit.owner, commit.next_deadline, commit.expiry,
                           sends, commit.new_work)
        if got > 0:
            return got
        if got == BUSY:
            return Busy()
        if got == TOO_LONG:
            raise ValueError(f"a record of {len(value)} bytes; at most {self.table.region.value_max} fit")
        return CONFLICTING if got == CONFLICT else NO_ROOM

    def head(self, bytes key not None):
        """See Store.head."""
        cdef Descriptor d
        cdef int64_t got = self.table.look_at(name(key), &d)
        if got >= 0:
            return d.version, d.owner
        return Busy() if got == BUSY else None

    def owned(self, owner):
        """See Store.owned."""
        return [entry for entry in self.table.owned(owner) if entry[2] > 0.0]

    def transmit(self, send not None):
        """Send what no record explains: a stateless answer, the ACK to a 2xx. What the kernel refuses is lost."""
        self.send_alone(send.data, send.to, send.listener, send.source)

    # For callers in C.

    cdef int send_alone(self, bytes data, tuple to, int listener, str source) except -1:
        """As transmit()."""
        self.outbox.queue(data, to, listener, source if source else None)
        self.send(self.send_argument)
        if self.tap is not None:
            self.tap.sent(datagram(data, to, listener, source))
        return 0

    cdef bytes fetch(self, bytes key, uint64_t *version):
        """load(): the record's bytes and version; None where there is none, or a lock is held."""
        cdef Descriptor d
        cdef int64_t got = self.table.fetch_into(name(key), self.table.scratch, VALUE_MAX, &d)
        if got < 0:
            return None
        version[0] = d.version
        return PyBytes_FromStringAndSize(<char *>self.table.scratch, got)

    cdef bint has(self, bytes key) except -1:
        """Whether the record is there; also where a lock is held."""
        cdef Descriptor d
        return self.table.look_at(name(key), &d) != ABSENT

    cdef int64_t put(self, bytes key, uint64_t expected, bytes value, int64_t owner, double next_deadline,
                     double expiry, sends, bint new_work) except? -9:
        """commit() of a value: the version (> 0), or CONFLICT, FULL, BUSY, TOO_LONG, and nothing has happened."""
        cdef const unsigned char *k = name(key)
        cdef Facts facts
        cdef int64_t got
        cdef bint sending
        facts.owner = owner
        facts.next_deadline = next_deadline
        facts.claim_deadline = 0.0
        facts.expiry = expiry
        self.table.require_slot()
        sending = self.queue(sends)
        got = self.table.store_from(
            k, expected, <const unsigned char *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), &facts,
            not new_work, self.send if sending else NULL, self.send_argument)
        self.sent(got, sends, sending)
        return got

    cdef int64_t erase(self, bytes key, uint64_t expected, sends) except? -9:
        cdef const unsigned char *k = name(key)
        cdef bint sending
        cdef int64_t got
        self.table.require_slot()
        sending = self.queue(sends)
        got = self.table.erase_key(k, expected, self.send if sending else NULL, self.send_argument)
        self.sent(got, sends, sending)
        return got

    cdef bint queue(self, sends) except -1:
        """Whether there is anything to send. What was queued when one raises is forgotten: the next commit would send it."""
        cdef bint any = False
        cdef tuple one
        try:
            for send in sends:
                one = <tuple>send
                self.outbox.queue(one[0], one[1], one[2], one[3] if one[3] else None)
                any = True
        except BaseException:
            self.outbox.empty()
            raise
        return any

    cdef int sent(self, int64_t got, sends, bint sending) except -1:
        if not sending:
            return 0
        if got <= 0:
            self.outbox.empty()
        elif self.outbox.has_failed():
            self.failed.extend([sends[index] for index, _ in self.outbox.failures])
        if got > 0 and self.tap is not None:
            for send in sends:
                self.tap.sent(send)
        return 0


cdef ShmStore shared(store):
    """The store itself where it is one over shared memory; else None."""
    return <ShmStore>store if type(store) is ShmStore else None


cdef int64_t committed(store, commit) except? -9:
    """Store.commit() as put() answers it: <= 0 where nothing has happened, now or later."""
    result = store.commit(commit)
    return <int64_t>result if type(result) is int else BUSY


cdef const unsigned char *name(bytes key) except NULL:
    if PyBytes_GET_SIZE(key) != KEY:
        raise ValueError("a key is exactly 16 bytes")
    return <const unsigned char *>PyBytes_AS_STRING(key)
