"""From a request whose handlers have returned to the Outcome that the engine carries out."""

from __future__ import annotations

from typing import Any

from siphon.script import text, variables
from siphon.script.answering import COPIED_IF_SET
from siphon.script.checking import checked, parsed
from siphon.script.context import RequestContext
from siphon.script.outcome import Answer, Outcome, Relay
from siphon.script.request import Request
from siphon.sip.message import COMPACT, SipMessage
from siphon.sip.splices import Splices, apply_splices

CREDENTIALS = frozenset(("authorization", "proxy-authorization"))
LARGEST_ANSWER = 65000
"""A datagram over UDP, less what an answer gets by itself: To tag, Server, Content-Length."""


def outcome_of(request: Request, allow: list[str]) -> Outcome:
    """What the handlers left. `allow`: the methods of Allow. Raises as variables.pack for unsuitable vars, and
    ValueError for edits that leave no message of this transaction."""
    context = request._context
    action = request._action
    values, packed = _vars(context)
    splices = [] if leaves_credentials(request) else request._splices()
    message, parsed = _edited(request, splices) if splices else (request._message.raw, None)
    loose = request._loose
    outcome = Outcome(action)
    outcome.reply_edits = request._reply_edits or []
    outcome.reply_body, outcome.reply_to_tag = request._reply_body, request._reply_to_tag
    outcome.message, outcome.edited, outcome.parsed, outcome.splices = message, bool(splices), parsed, splices
    outcome.record_route = request._record_route
    outcome.vars, outcome.vars_bytes = values, packed
    outcome.auth_user = request._auth_user
    outcome.consumed_routes = request.consumed_routes
    outcome.uri_set, outcome.answer_to_source = request._uri_set, request._nat_register
    outcome.route_unsigned = loose is not None and loose.unsigned
    outcome.auth_failures, outcome.confirms = request._auth_failures, request._confirms
    if isinstance(action, Answer):
        _complete(action, request, allow)
        _check_size(action, outcome, request)
        if action.status < 200:
            outcome.action, outcome.provisionals = None, [action]
    elif isinstance(action, Relay) and action.flow is None:
        action.via_override = request._via
    return outcome


def leaves_credentials(request: Request) -> bool:
    """Whether all that was edited is that a REGISTER which is answered here has lost its credentials. Nothing needs
    what is left of it then."""
    draft, action = request._draft, request._action
    if draft is None or not isinstance(action, Answer) or action.status < 200 or request._message.method != "REGISTER":
        return False
    return draft.changed and draft.only_lacks(CREDENTIALS)


def _check_size(answer: Answer, outcome: Outcome, request: Request) -> None:
    """ValueError for an answer that no datagram carries. What it copies from the request is at most all its headers."""
    headers = answer.headers + [(name, value) for _, name, value in outcome.reply_edits]
    written = sum(len(name) + len(text.encode(value)) + 4 for name, value in headers)
    body = answer.body if outcome.reply_body is None else outcome.reply_body
    if request._message.body_start + written + len(body) + len(text.encode(answer.reason)) > LARGEST_ANSWER:
        raise ValueError("the answer is longer than a datagram")


def _vars(context: RequestContext) -> tuple[dict[str, Any], bytes]:
    """`vars` where they are unpacked, and packed."""
    if context.opened is not None:
        return context.opened, variables.pack(context.opened, context.vars_limit())
    if isinstance(context.vars, bytes):
        return {}, context.vars
    return context.vars, variables.pack(context.vars)


def _edited(request: Request, splices: Splices) -> tuple[bytes, SipMessage]:
    """The message with these edits. Consumed routes alone, where there is no draft, touch nothing that names the
    transaction."""
    before = request._message
    message = apply_splices(before.raw, splices)
    return message, parsed(message) if request._draft is None else checked(message, before)


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
    ours = ""
    if context.identity is not None and context.listener is not None:
        ours = context.identity.known_by(context.listener, context.local_ip)
    if ours:
        defaults.insert(0, ("Contact", f"<sip:{ours}>"))
    answer.headers.extend(header for header in defaults if header[0].lower() not in present)
