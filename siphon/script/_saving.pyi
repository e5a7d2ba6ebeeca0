from collections.abc import Sequence

from siphon.script._lookup import Lookups
from siphon.script.request import Request
from siphon.script.uri import SipUri

LOOP_DETECTED: tuple[int, str]

class Saving(Lookups):
    def save(
        self,
        request: Request,
        force: bool = False,
        aliases: Sequence[str | SipUri] = (),
        flow_token: str | None = None,
    ) -> bool: ...
