from collections.abc import Callable
from typing import final

from siphon.engine.environment import Environment
from siphon.script.outcome import Outcome
from siphon.sip.message import SipMessage
from siphon.state.record import Record

@final
class PlainAnswers:
    check: Callable[[bytes, SipMessage, Outcome, Record, bytes, float], None] | None
    def __init__(
        self, env: Environment, check: Callable[[bytes, SipMessage, Outcome, Record, bytes, float], None] | None = None
    ) -> None: ...
