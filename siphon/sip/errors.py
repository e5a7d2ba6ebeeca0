"""Whose fault it is, and what to answer.

`PeerError` is the sender's fault and carries the response; `BadResponse` and `NotSip` are datagrams that get no answer
at all. One boundary in the engine turns them into a response or silence,
a counter and one log line. Everything else that is raised is a bug of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.sip._message_cy import SipMessage


class PeerError(Exception):
    """A request that must be refused with `status` and `reason`.

    `message` is what could be read of it, set when its top Via names an address to answer to; `partial` is set
    whenever the start-line was a request's, so that an answer to the datagram's source can still be built
    (RFC 3261 §21.4.1: the reason says what is wrong).
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: SipMessage | None = None,
        headers: Sequence[tuple[str, str]] = (),
        partial: SipMessage | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.message = message
        self.partial = partial if partial is not None else message
        self.headers = list(headers)


class BadResponse(Exception):
    """A response that breaks the grammar: dropped and counted, never answered."""


class NotSip(Exception):
    """Not SIP at all: keep-alives, STUN, RTP, HTTP, noise. Ignored without a log line above debug."""
