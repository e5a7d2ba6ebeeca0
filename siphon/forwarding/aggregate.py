"""Which of the branches' failures goes up, and in what form (RFC 3261 §16.7 steps 6 and 7, RFC 4320).

In: candidates (status, where each came from, order of arrival) and stored responses as bytes. Out: the best
candidate, and bytes to send. Nothing here changes a To tag. Responses that a script makes itself (`request.reply`,
`reply.reject`) do not pass through here.

  best response   a 2xx, else any 6xx, else the lowest class; within 4xx first 401, 407, 415, 420, 484
                  and last 408; then received before made here; then the earliest
  upstream form   503 goes up as 500 without Retry-After; 408 to a non-INVITE as nothing (Timer F) or 504
  challenges      the chosen 401 or 407 carries the challenges of every 401 and 407
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeVar

from siphon.sip.draft import Draft
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import apply_splices

SEND_NOTHING = 0
SERVER_INTERNAL_ERROR = (500, "Server Internal Error")
SERVER_TIMEOUT = (504, "Server Time-out")
_CHALLENGES = (401, 407)
_CHALLENGE_HEADERS = frozenset((b"www-authenticate", b"proxy-authenticate"))
_PREFERENCE = {401: -5, 407: -4, 415: -3, 420: -2, 484: -1, 408: 1}
_CLASS_RANK = {2: -2, 6: -1}


class Origin(IntEnum):
    """Where a branch's final came from."""

    RECEIVED = 0
    LOCAL = 1
    """Made here: `timeout=`, Timer B or C, an unusable address."""
    TIMER_F = 2
    """Made here because a non-INVITE got no final at all (RFC 3261 §17.1.2.2)."""


class Judged(Protocol):
    """What is compared: any object with these three, `order` growing with arrival over all attempts of the
    transaction.
    """

    @property
    def status(self) -> int: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def order(self) -> int: ...


class Candidate(NamedTuple):
    """A branch's final, 200 to 699."""

    status: int
    origin: Origin
    order: int


J = TypeVar("J", bound=Judged)


def _rank(candidate: Judged) -> tuple[int, int, bool, int]:
    status = candidate.status
    kind = status // 100
    return (
        _CLASS_RANK.get(kind, kind),
        _PREFERENCE.get(status, 0),
        candidate.origin != Origin.RECEIVED,
        candidate.order,
    )


def better(one: Judged, other: Judged) -> bool:
    """Whether `one` goes up rather than `other`. A strict order: equal candidates are not better than each other."""
    return _rank(one) < _rank(other)


def best_response(candidates: Iterable[J]) -> J | None:
    """The candidate that goes up when all branches have ended; None when there is none."""
    return min(candidates, key=_rank, default=None)


# -- the form in which it goes up ------------------------------------------------------------------------------------


def upstream_status(status: int, origin: Origin, method: str) -> tuple[int, str]:
    """Status and reason that go up for a branch's final; reason "" means as it is; status SEND_NOTHING means no
    answer at all.

    A 503 speaks of the next server, not of us (RFC 3261 §16.7 step 6). A 408 helps no non-INVITE client (RFC 4320
    §4.2).
    """
    if status == 503:
        return SERVER_INTERNAL_ERROR
    if status == 408 and method != "INVITE":
        return (SEND_NOTHING, "") if origin == Origin.TIMER_F else SERVER_TIMEOUT
    return status, ""


def upstream_form(response: SipMessage, origin: Origin, method: str) -> bytes | None:
    """The bytes of the chosen response as they go up, our own Via already removed; None when nothing is sent.

    Unchanged bytes are returned where the status stays.
    """
    status, reason = upstream_status(response.status, origin, method)
    if status == SEND_NOTHING:
        return None
    if not reason:
        return response.raw
    draft = Draft(response)
    draft.set_start_line(b"SIP/2.0 %d %b" % (status, reason.encode()))
    draft.remove("Retry-After")
    return draft.to_bytes()


def merge_challenges(best: bytes, others: Sequence[bytes]) -> bytes:
    """`best` with the WWW-Authenticate and Proxy-Authenticate lines of every 401 and 407 among `others`, byte for
    byte and in order (RFC 3261 §16.7 step 7). They follow the last challenge of `best`. Bytes that are no 401 or 407
    are left alone and add nothing.
    """
    response = parse(best)
    if response.status not in _CHALLENGES:
        return best
    lines = b"".join(line for other in others for line in _challenge_lines(parse(other)))
    if not lines:
        return best
    place = _end_of_challenges(response)
    return apply_splices(response.raw, [(place, place, lines)])


def _challenge_lines(response: SipMessage) -> list[bytes]:
    if response.status not in _CHALLENGES:
        return []
    spans = (response.span(number) for number in _challenge_numbers(response))
    return [response.raw[start:end] for start, _, _, end in spans]


def _challenge_numbers(response: SipMessage) -> list[int]:
    return [number for number in range(response.lines) if response.line(number)[0].lower() in _CHALLENGE_HEADERS]


def _end_of_challenges(response: SipMessage) -> int:
    """Behind the last challenge, or behind the last header line where there is none."""
    numbers = _challenge_numbers(response)
    return response.span(numbers[-1] if numbers else response.lines - 1)[3]
