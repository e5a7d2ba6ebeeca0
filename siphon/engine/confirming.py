"""What handlers decided counts once other nodes have agreed to what it rests on (a nonce count that must be new).

The handlers have returned; their outcome waits, and the worker serves others. Where one does not agree, the answer is
the one that was prepared for that; where nobody can be asked it is 503.
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.script.outcome import Answer, Outcome
from siphon.services.location import RegisterResult

NOT_ASKED = Answer(503, "Service Unavailable", headers=[("Retry-After", "5")])


def when_confirmed(outcome: Outcome, done: Callable[[Outcome], None]) -> None:
    """`done` with the outcome, or with what takes its place; at once where there is nothing to wait for."""
    if not outcome.confirms or outcome.error is not None:
        done(outcome)
        return
    refusals: list[Answer] = []
    left = len(outcome.confirms)

    def confirmed(answer: object, refusal: Answer) -> None:
        nonlocal left
        left -= 1
        if answer is not True:
            refusals.append(NOT_ASKED if answer is None else refusal)
        if not left:
            done(Outcome(refusals[0]) if refusals else outcome)

    for wait, refusal in outcome.confirms:
        wait.then(lambda answer, refusal=refusal: confirmed(answer, refusal))  # type: ignore[misc]


def when_stored(outcome: Outcome, done: Callable[[Outcome], None]) -> None:
    """`done` at once, or when the store has confirmed what the answer says."""
    action = outcome.action
    if not isinstance(action, Answer) or action.later is None or outcome.error is not None:
        done(outcome)
        return

    def confirmed(result: object) -> None:
        assert isinstance(result, RegisterResult) and isinstance(action, Answer)
        outcome.action = Answer(result.status, result.reason, headers=list(result.headers))
        done(outcome)

    action.later.then(confirmed)
