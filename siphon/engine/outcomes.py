"""What handlers of a request or of a failed attempt decided, carried out (API 4.3, 7, 8.4)."""

from __future__ import annotations

from siphon.engine.answers import answer, reason_of, respond, tag_of, trying
from siphon.engine.callbacks import with_next_attempt
from siphon.engine.cancelling import settle_splices
from siphon.engine.dialogs import peer
from siphon.engine.environment import Environment
from siphon.engine.plan import Plan, pack_plans, plan_fork, plan_relay
from siphon.engine.reliable import next_rseq, reliable_headers, send_reliably
from siphon.engine.results import best_branch, send_best
from siphon.engine.settle import settle
from siphon.engine.variables import merge_vars
from siphon.forwarding.next_hop import UNROUTED_IN_DIALOG, unrouted_in_dialog
from siphon.forwarding.redirect import without_followed
from siphon.script.outcome import Answer, FailureOutcome, Fork, Outcome, Relay
from siphon.sip.build import response
from siphon.sip.draft import canonical
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import diff_splices, pack_splices
from siphon.sip.uri import Uri
from siphon.state.record import ClaimKind, Record
from siphon.transaction.step import Step

MAX_RETARGETS = 8
SCRIPT_ERROR = (500, "Script Error")
NO_ACTION = (500, "No Action")


def request_done(step: Step, env: Environment, outcome: Outcome) -> Step:
    """The on_request handlers have returned, and their outcome still counts."""
    r = step.record
    r.drop_claim(ClaimKind.REQUEST)
    if outcome.error is not None:
        answer(step, env, *SCRIPT_ERROR)
        return step
    _keep(step, outcome)
    for provisional in outcome.provisionals:
        if not isinstance(outcome.action, Answer):
            send_answer(step, env, outcome, provisional)
    if outcome.action is None:
        _no_action(step, env, outcome)
    elif isinstance(outcome.action, Answer):
        _answer(step, env, outcome, outcome.action)
    else:
        start_attempt(step, env, outcome, outcome.action)
    return step


def _keep(step: Step, outcome: Outcome) -> None:
    """What later handlers of this transaction see: the request as left, variables, user, consumed routes."""
    r = step.record
    r.edits = pack_splices(outcome.splices) if outcome.edited else b""
    r.vars = outcome.vars_bytes
    r.auth_user = outcome.auth_user or ""
    r.consumed = "\n".join(outcome.consumed_routes).encode("utf-8", "surrogateescape")
    r.record_route = outcome.record_route
    r.reply_to_tag = (outcome.reply_to_tag or "").encode() if not r.to_tag else b""
    if outcome.answer_to_source:
        r.reply_ip, r.reply_port = r.source_ip, r.source_port


def _no_action(step: Step, env: Environment, outcome: Outcome) -> None:
    if outcome.provisionals:
        step.record.trying_at = step.now + step.timing.timer_c  # pending until a CANCEL, Timer C at the latest
        return
    if step.record.last_response:
        answer(step, env, *NO_ACTION)
    else:
        step.remove = True


def _answer(step: Step, env: Environment, outcome: Outcome, action: Answer) -> None:
    r = step.record
    if action.stateless and not r.last_response:
        step.upstream(build(step, env, outcome, action))
        step.remove = True
        return
    send_answer(step, env, outcome, action)


def send_answer(step: Step, env: Environment, outcome: Outcome, action: Answer) -> bool:
    """A response that the script made, with its queued edits."""
    r = step.record
    if r.invite and 200 <= action.status < 300:
        r.local_2xx = step.awaited = True
    if action.reliable:
        step.awaited = True
        rseq = next_rseq(r, env.tag_key)
        return send_reliably(step, rseq, build(step, env, outcome, action, rseq))
    return respond(step, action.status, build(step, env, outcome, action))


def build(step: Step, env: Environment, outcome: Outcome, action: Answer, rseq: int = 0) -> bytes:
    """The bytes of a script's response: its own headers, then the queued edits in call order (API 6.4). With an RSeq
    it is a reliable one."""
    r = step.record
    headers = list(action.headers)
    if action.content_type:
        headers.append(("Content-Type", action.content_type))
    body = action.body
    for operation, name, value in outcome.reply_edits:
        if operation == "set":
            headers = [h for h in headers if canonical(h[0]) != canonical(name)]
        headers.append((name, value))
    if outcome.reply_body is not None:
        body = outcome.reply_body
    if rseq:
        headers = reliable_headers(headers, rseq)
    reason = reason_of(action.status, action.reason)
    return response(step.request(), action.status, reason, tag_of(r, env), headers, body, server=env.server)


def start_attempt(step: Step, env: Environment, outcome: Outcome, action: Relay | Fork) -> None:
    """Begin an attempt: the 100 first, then the copies (API 16.3)."""
    r = step.record
    message = outcome.parsed or (parse(outcome.message) if outcome.edited else step.request())
    if r.invite and not r.last_response:
        trying(step, env)
    settle_splices(r)
    r.attempts += 1
    r.attempt_first = r.next_index
    r.attempt_edits = pack_splices(outcome.splices) if outcome.edited else b""
    step.base = message
    r.on_reply, r.on_failure = _reply_callbacks(r, action), action.on_failure or ""
    r.ring_timeout = action.timeout or 0.0
    r.send_socket = action.send_socket or ""
    if isinstance(action, Fork):
        _fork(step, env, action)
    else:
        _relay(step, env, action, outcome, message)


def _reply_callbacks(r: Record, action: Relay | Fork) -> str:
    name = action.on_reply or ""
    return with_next_attempt(r.on_reply, name, r.next_index) if r.attempts > 1 else name


def _fork(step: Step, env: Environment, action: Fork) -> None:
    if not action.targets:
        answer(step, env, 500, "No Targets")
    else:
        _begin(step, env, plan_fork(action))


def _relay(step: Step, env: Environment, action: Relay, outcome: Outcome, message: SipMessage) -> None:
    if _unrouted(step, env, action, outcome, message):
        answer(step, env, *UNROUTED_IN_DIALOG)
        return
    _begin(step, env, plan_relay(action, message.uri))


def _begin(step: Step, env: Environment, groups: list[list[Plan]]) -> None:
    """Start the first group. What earlier branches were redirected to is followed, and no longer an answer."""
    r = step.record
    tried = [plan.next_hop.encode("utf-8", "surrogateescape") or plan.uri for group in groups for plan in group]
    for branch in r.branches:
        if branch.response and 300 <= branch.result < 400:
            left = without_followed(parse(branch.response), tried)
            branch.response, branch.moved = left or b"", left is None
    r.targets = pack_plans(groups)
    settle(step, env)


def _unrouted(step: Step, env: Environment, action: Relay, outcome: Outcome, message: SipMessage) -> bool:
    """Whether nothing vouches for a request in a dialog whose client would choose its next hop (API 7.2)."""
    r = step.record
    if not r.to_tag or env.settings.proxy.unrouted_in_dialog != "refuse":
        return False
    received, top = step.request(), message.values("Route")[:1]
    sent_along = bool(top) and top[0] in received.values("Route")
    place = _place(message.uri)
    return unrouted_in_dialog(
        to_tag=True,
        consumed=bool(outcome.consumed_routes),
        dialog_known=peer(env, r.call_id, r.from_tag, r.to_tag) is not None,
        explicit=action.next_hop is not None or action.flow is not None or (bool(top) and not sent_along),
        routed=sent_along,
        uri_set=outcome.uri_set or place != _place(received.uri),
        uri_local=bool(place) and env.identity.is_local(place),
    )


def _place(uri: bytes) -> str:
    """Where a URI leads, in lower case: maddr or host, "" for none. Handlers that changed it chose where the request
    goes, for every later attempt too; a new user or port leaves the choice with the client."""
    try:
        parsed = Uri.parse(uri)
    except ValueError:
        return ""
    return (parsed.param("maddr") or parsed.host).lower()


def failure_done(step: Step, env: Environment, outcome: FailureOutcome) -> Step:
    """The on_failure handlers have returned, and their outcome still counts."""
    r = step.record
    r.drop_claim(ClaimKind.FAILURE)
    merge_vars(r, outcome.vars_written, outcome.vars_deleted)
    if outcome.request is not None:
        _take_over(step, outcome.request)
        for provisional in outcome.request.provisionals:
            send_answer(step, env, outcome.request, provisional)
    action = outcome.action if outcome.error is None else None
    if isinstance(action, Answer) and outcome.request is not None:
        send_answer(step, env, outcome.request, action)
    elif isinstance(action, Relay | Fork) and outcome.request is not None and may_retarget(r):
        _compose(step, outcome.request)
        start_attempt(step, env, outcome.request, action)
    else:
        send_best(step, env, _edited(step, outcome))
    return step


def _take_over(step: Step, outcome: Outcome) -> None:
    """What on_failure's copy of the request asks for beside its action."""
    r = step.record
    r.record_route = r.record_route or outcome.record_route
    if outcome.reply_to_tag and not r.to_tag:
        r.reply_to_tag = outcome.reply_to_tag.encode()


def may_retarget(r: Record) -> bool:
    """Not after a 6xx, not after a CANCEL, and at most eight times (API 8.4)."""
    best = best_branch(r)
    declined = best is not None and best.result >= 600
    return not declined and not r.cancelled and r.attempts <= MAX_RETARGETS


def _compose(step: Step, outcome: Outcome) -> None:
    """The handlers' copy began as on_request left the request: its bytes are compared with those received."""
    r = step.record
    original = step.request().raw
    outcome.edited = outcome.edited or bool(r.edits)
    if not outcome.message:
        outcome.message = original
    outcome.splices = diff_splices(r.request, outcome.message)


def _edited(step: Step, outcome: FailureOutcome) -> bytes | None:
    return outcome.reply if outcome.reply_edited and outcome.error is None else None
