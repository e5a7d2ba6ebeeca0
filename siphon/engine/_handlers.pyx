"""The on_request handlers run for the core, in C: from the record to the outcome, as siphon/engine/handlers.py needs it.

One of these runs for every request, so nothing in it is a closure or a call by names.
"""

# cython: boundscheck=False, wraparound=False

cimport cython

from siphon.script._actions cimport Answer
from siphon.script._fields cimport RequestContext
from siphon.script._outcome cimport Outcome
from siphon.script._running cimport Tally
from siphon.services._merged cimport MergedRequests
from siphon.sip._message_cy cimport SipMessage
from siphon.state._record cimport Record

from siphon.engine.counters import Counter
from siphon.script._running import run
from siphon.script.request import Request

cdef object SCRIPT_RUNS = Counter.SCRIPT_RUNS
cdef object SCRIPT_ERRORS = Counter.SCRIPT_ERRORS


@cython.final
@cython.freelist(4)
cdef class Ended:
    """Told the outcome by the runtime: tells the core, after what the outcome rests on is there."""

    cdef object handlers, done
    cdef Record record

    def __call__(self, Outcome outcome not None):
        if outcome.route_unsigned or outcome.auth_failures or outcome.confirms or self.waits(outcome.action):
            self.handlers.request_ended(self.record, outcome, self.done)
        else:
            self.done(outcome)

    cdef bint waits(self, action) except -1:
        """Whether an answer may have to wait, or to give way to another (ScriptHandlers.request_ended)."""
        cdef Answer answer
        if type(action) is not Answer:
            return False
        answer = <Answer>action
        if answer.later is not None:
            return True
        if not 200 <= answer.status < 300 or self.record.to_tag:
            return False
        merged = self.handlers.services.merged
        return merged is not None and not (<MergedRequests?>merged).has_just_marked(self.record.key)


cpdef RequestContext context_of(Record r, identity, settings, services, double now, received, secrets):
    """The facts of a record's transaction, as its handlers see them."""
    cdef RequestContext c = RequestContext.__new__(RequestContext)
    cdef double age = now - r.created
    c.source = (r.source_ip, r.source_port)
    listeners = identity.listeners
    c.listener = listeners[r.listener] if r.listener < len(listeners) else identity.listener(r.listener, r.source_ip)
    c.local_ip = r.local_ip
    c.transaction_id = r.key
    c.identity, c.settings, c.services = identity, settings, services
    c.now = now
    c.began = r.wall
    c.wall = r.wall + (age if age > 0.0 else 0.0)
    c.vars = r.vars
    c.auth_user = r.auth_user or None
    c.consumed_routes = r.consumed.decode("utf-8", "surrogateescape").split("\n") if r.consumed else []
    c.record_route = r.record_route
    c.uri_received, c.secrets = received, secrets
    c.packed = b""
    return c


def run_request(handlers, Record r not None, SipMessage m not None, secrets, done):
    """Call the on_request handlers of the script version of the record."""
    cdef Ended ended
    cdef Tally dispatch
    cdef long errors
    runtime, watch = handlers.runtime, handlers.watch
    plan = runtime.plans.get((r.method, r.script_version))
    if plan is None:
        plan = runtime.plan(r.method, r.script_version)
    if not plan[2]:
        handlers.refuse_method(r, done)
        return
    ended = Ended.__new__(Ended)
    ended.handlers, ended.done, ended.record = handlers, done, r
    context = context_of(r, handlers.env.identity, handlers.settings, handlers.services, handlers.clock(), None, secrets)
    dispatch = runtime.dispatch
    errors = dispatch.errors
    watch.count(SCRIPT_RUNS)
    watch.enter()
    try:
        run(runtime, Request(m, context), plan, ended)
    finally:
        watch.leave()
        if dispatch.errors != errors:
            watch.count(SCRIPT_ERRORS, dispatch.errors - errors)
