"""From a request whose handlers have returned to the Outcome that the engine carries out."""

from __future__ import annotations

from siphon.script import text, variables
from siphon.script.answering import COPIED_IF_SET
from siphon.script.checking import checked
from siphon.script.context import RequestContext
from siphon.script.outcome import Answer, Outcome, Relay
from siphon.script.request import Request
from siphon.sip.message import COMPACT
from siphon.sip.splices import apply_splices

LARGEST_ANSWER = 65000
"""A datagram over UDP, less what an answer gets by itself: To tag, Server, Content-Length."""


def outcome_of(request: Request, allow: list[str]) -> Outcome:
    """What the handlers left. `allow`: the methods of Allow. Raises as variables.pack for unsuitable vars, and
    ValueError for edits that leave no message of this transaction."""
    context = request._context
    outcome = Outcome(
        action=request._action,
        reply_edits=request._reply_edits or [],
        reply_body=request._reply_body,
        reply_to_tag=request._reply_to_tag,
        record_route=request._record_route,
        auth_user=request._auth_user,
        consumed_routes=request.consumed_routes,
        uri_set=request._uri_set,
        answer_to_source=request._nat_register,
        route_unsigned=request._loose is not None and request._loose.unsigned,
        auth_failures=request._auth_failures,
        confirms=request._confirms,
    )
    _put_vars(outcome, context)
    _put_message(outcome, request)
    action = outcome.action
    if isinstance(action, Answer):
        _complete(action, request, allow)
        _check_size(action, outcome, request)
        if action.status < 200:
            outcome.action, outcome.provisionals = None, [action]
    elif isinstance(action, Relay) and action.flow is None:
        action.via_override = request._via
    return outcome


def _check_size(answer: Answer, outcome: Outcome, request: Request) -> None:
    """ValueError for an answer that no datagram carries. What it copies from the request is at most all its headers."""
    headers = answer.headers + [(name, value) for _, name, value in outcome.reply_edits]
    written = sum(len(name) + len(text.encode(value)) + 4 for name, value in headers)
    body = answer.body if outcome.reply_body is None else outcome.reply_body
    if request._message.body_start + written + len(body) + len(text.encode(answer.reason)) > LARGEST_ANSWER:
        raise ValueError("the answer is longer than a datagram")


def _put_vars(outcome: Outcome, context: RequestContext) -> None:
    if context.opened is not None:
        outcome.vars = context.opened
        outcome.vars_bytes = variables.pack(context.opened, context.vars_limit())
    elif isinstance(context.vars, bytes):
        outcome.vars_bytes = context.vars
    else:
        outcome.vars, outcome.vars_bytes = context.vars, variables.pack(context.vars)


def _put_message(outcome: Outcome, request: Request) -> None:
    outcome.message = request._message.raw
    outcome.splices = request._splices()
    if outcome.splices:
        outcome.edited = True
        outcome.message = apply_splices(outcome.message, outcome.splices)
        outcome.parsed = checked(outcome.message, request._message)


def _complete(answer: Answer, request: Request, allow: list[str]) -> None:
    """Headers that an answer copies from the request, those of a 2xx to OPTIONS, and the Contact of a 101-299 to an
    INVITE: what begins a dialog must have one (RFC 3261 §12.1.1). What the script queued stands."""
    for name in request._copied or ():
        value = request.get_header(name)
        if value is not None:
            answer.headers.append((COPIED_IF_SET[name], value))
    defaults: list[tuple[str, str]] = []
    if request.method == "OPTIONS" and 200 <= answer.status < 300:
        defaults = [("Allow", ", ".join(allow)), ("Accept", "*/*"), ("Supported", "path")]
    elif request.method != "INVITE" or not 100 < answer.status < 300:
        return
    context = request._context
    names = [name.lower() for name, _ in answer.headers] + [name.lower() for _, name, _ in request._reply_edits or ()]
    present = {COMPACT.get(name, name) for name in names}
    if context.identity is not None and context.listener is not None:
        sent_by = context.identity.sent_by(context.listener, context.local_ip)
        defaults.insert(0, ("Contact", f"<sip:{sent_by}>"))
    answer.headers.extend(header for header in defaults if header[0].lower() not in present)
