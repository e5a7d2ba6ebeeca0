"""The on_request handlers called in C, and what they leave as an Outcome where they edited nothing.

The same as the generator dispatch.request driven by siphon/script/driver.py: a context for the run in which Call-ID and
binding are set, a copy of it for each handler. The first handler that awaits, and handlers that run in threads, are
theirs. An outcome that is not plain (an answer, edits, variables, an exception) is made by siphon/script/finishing.py.
"""

# cython: boundscheck=False, wraparound=False

from cpython.unicode cimport PyUnicode_DecodeUTF8

from siphon.forwarding._own_route cimport without_line
from siphon.script._actions cimport Answer, Fork, Relay
from siphon.script._fields cimport RequestContext, RequestFields, lacks_credentials
from siphon.script._outcome cimport Outcome
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._shorter cimport without
from siphon.sip._splice_cy cimport apply_splices

from inspect import isawaitable

from siphon.config.log import CALL_ID
from siphon.forwarding.routes import ALL_CONSUMED
from siphon.script import binding
from siphon.script.checking import parsed
from siphon.script.finishing import leaves_credentials
from siphon.script.phase import Phase

cdef extern from "Python.h":
    object PyContext_CopyCurrent()
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    object PyContextVar_Set(object variable, object value)

cdef enum:
    SMALL = 4096            # bytes, or characters: far from what a datagram has room for

cdef object CLOSED = Phase.CLOSED
cdef object running = binding.running()
cdef object consumed = ALL_CONSUMED


cdef class Tally:
    """Base of Dispatch. `errors` counts the exceptions of handlers. `exhausted`: one of them found no memory, and there is
    none; a handler that asked for too much at once has only failed. `blocked`: handlers that do not return have all
    threads."""


cdef str call_id_of(SipMessage m):
    cdef int i = m.s.i_call_id
    cdef bytes value
    if i >= 0 and not m.table[i].folded and m.table[i].value_end > m.table[i].value_start:
        return PyUnicode_DecodeUTF8(
            <const char *>m.p + m.table[i].value_start, m.table[i].value_end - m.table[i].value_start, b"surrogateescape"
        )
    value = m.value_of(i)
    return value.decode("utf-8", "surrogateescape") if value else "-"


cdef object context_of(RequestFields request, bound):
    """Where the handlers of a request run."""
    context = PyContext_CopyCurrent()
    PyContext_Enter(context)
    try:
        PyContextVar_Set(CALL_ID, call_id_of(request._message))
        PyContextVar_Set(running, bound)
    finally:
        PyContext_Exit(context)
    return context


cdef bint is_plain_answer(RequestFields request, Answer action) except -1:
    """Whether the answer is final, small and stands as it was armed, and the request as it came; that of a REGISTER may lack
    its credentials, as finishing.py has it."""
    cdef Py_ssize_t written = 0
    if request._reply_edits is not None or request._reply_body is not None or request._copied is not None:
        return False
    if request._message.method == "OPTIONS" or request._message.method == "INVITE" or request._pending is not None:
        return False
    if action.status < 200 or len(action.body) > SMALL or len(action.reason) > SMALL:
        return False
    for name, value in action.headers:
        written += len(name) + len(value)
    if written > SMALL or request._message.s.body_start > SMALL:
        return False
    if request._draft is None or (lacks_credentials(request) and request._message.method == "REGISTER"):
        return True
    return leaves_credentials(request)


cdef int take_facts(Outcome made, RequestFields request, RequestContext context) except -1:
    """What handlers have left in a request beside its edits, whatever they have armed."""
    made.record_route = request._record_route
    made.vars, made.vars_bytes = {}, context.vars
    made.auth_user = request._auth_user
    made.consumed_routes = list(context.consumed_routes if request._consumed is None else request._consumed)
    made.uri_set, made.answer_to_source = request._uri_set, request._nat_register
    made.route_unsigned = request._loose is not None and request._loose.unsigned
    made.auth_failures, made.confirms = request._auth_failures, request._confirms
    return 0


cdef Outcome plain_answer(RequestFields request, Answer action):
    cdef RequestContext context = request._context
    cdef Outcome made
    if context.opened is not None or type(context.vars) is not bytes or not is_plain_answer(request, action):
        return None
    made = Outcome.__new__(Outcome)
    made.action = action
    made.message = request._message.raw
    made.splices, made.provisionals, made.reply_edits = [], [], []
    made.reply_to_tag = request._reply_to_tag
    take_facts(made, request, context)
    return made


cpdef Outcome plain_outcome(RequestFields request):
    """As finishing.outcome_of; None: it is not plain, and nothing has happened."""
    cdef RequestContext context = request._context
    cdef SipMessage m = request._message
    cdef Outcome made
    action = request._action
    if type(action) is Answer:
        return plain_answer(request, <Answer>action)
    if type(action) is not Relay and type(action) is not Fork:
        return None
    if request._draft is not None or context.opened is not None or type(context.vars) is not bytes:
        return None
    if request._pending is not None and request._pending is not consumed:
        return None
    made = Outcome.__new__(Outcome)
    made.splices = []
    made.message = m.raw
    if request._pending is not None:
        made.splices = without_line(m, b"Route")
        made.edited = True
        if len(made.splices) == 1:
            made.parsed = without(m, m.position(b"route", 0))
        if made.parsed is not None:
            made.message = made.parsed.raw
        else:
            made.message = apply_splices(m.raw, made.splices)
            made.parsed = parsed(made.message)
    made.action = action
    made.provisionals = []
    made.reply_edits = request._reply_edits or []
    made.reply_body, made.reply_to_tag = request._reply_body, request._reply_to_tag
    take_facts(made, request, context)
    if type(action) is Relay and (<Relay>action).flow is None and request._via is not None:
        (<Relay>action).via_override = request._via
    return made


cdef object ended(RequestFields request, dispatch, script, failed, error):
    """As dispatch.request_ended."""
    cdef Outcome made
    if failed is None:
        try:
            made = plain_outcome(request)
        except ValueError:
            made = None         # the reference finds the same, and says so
        if made is not None:
            request._phase, request._ruri = CLOSED, None
            return made
    return dispatch.request_ended(request, script, failed, error)


def run(runtime, RequestFields request not None, tuple plan not None, done):
    """Call what a plan names (Runtime.plan) one after the other; `done` gets the outcome. True when it has been called,
    else it is called from the loop later."""
    cdef Py_ssize_t place
    cdef tuple functions = plan[2]
    script = plan[0]
    driver, dispatch = runtime.driver, runtime.dispatch
    failed = error = None
    request._context.script = script
    context = context_of(request, plan[1])
    if driver.threaded:
        return driver.go_on(runtime.request_steps(request, script, 0), context, done)
    for place in range(len(functions)):
        function = functions[place]
        own = PyContext_Copy(context)
        PyContext_Enter(own)
        try:
            result = function(request)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # SystemExit of a script must not end the worker
            failed, error = function, raised
            break
        finally:
            PyContext_Exit(own)
        if result is not None and isawaitable(result):
            return driver.go_on_from(result, own, runtime.request_steps(request, script, place), context, done)
    PyContext_Enter(context)
    try:
        outcome = ended(request, dispatch, script, failed, error)
    finally:
        PyContext_Exit(context)
    done(outcome)
    return True
