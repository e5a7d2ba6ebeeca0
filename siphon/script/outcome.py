"""What handlers decided, as plain values: the engine carries them out and commits them.

One Outcome for the on_request handlers, one ReplyOutcome for a response, one FailureOutcome for a failed attempt, one
CancelOutcome for on_cancel. Nothing in here points back to a Request: the engine may keep an outcome for as long as it
likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from siphon.script._actions import Answer as Answer
from siphon.script._actions import Fork as Fork
from siphon.script._actions import Relay as Relay
from siphon.script._actions import TargetSpec as TargetSpec
from siphon.script._outcome import Outcome as Outcome

Edit = tuple[str, str, str]
"""("set" | "add", name, value): one queued edit of whatever response is armed, in the order of the calls."""


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """A captured flow as the engine needs it: "ip:port" of both ends."""

    transport: str
    remote_addr: str
    local_addr: str
    connection_id: str


@dataclass(slots=True)
class ViaOverride:
    """`force_send_via`: outbound transport (lower case) and the sent-by `host[:port]` of our Via."""

    transport: str
    sent_by: str


Action: TypeAlias = Answer | Relay | Fork


@dataclass(slots=True)
class ReplyOutcome:
    """What on_reply handlers left: the response passes or not, its bytes, a reject, the keys written to `vars`."""

    passed: bool = True
    message: bytes = b""
    edited: bool = False
    reject: tuple[int, str] | None = None
    vars_written: dict[str, Any] = field(default_factory=dict)
    vars_deleted: list[str] = field(default_factory=list)
    error: BaseException | None = None


@dataclass(slots=True)
class FailureOutcome:
    """What on_failure handlers left. `request` is the outcome of the copy that armed last (None: nothing armed).

    `error`: a global handler raised, so nothing they did counts and the failure is forwarded.
    """

    request: Outcome | None = None
    relay_reply: bool = False
    reply: bytes = b""
    reply_edited: bool = False
    vars_written: dict[str, Any] = field(default_factory=dict)
    vars_deleted: list[str] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def action(self) -> Action | None:
        """The new attempt or the answer that was armed."""
        return self.request.action if self.request is not None else None


@dataclass(slots=True)
class CancelOutcome:
    """What on_cancel handlers left."""

    vars_written: dict[str, Any] = field(default_factory=dict)
    vars_deleted: list[str] = field(default_factory=list)
    error: BaseException | None = None
