"""What decisions may know besides record, event and time: settings, keys, who we are. Constant for one script version.

Everything here is plain data or a question answered from memory, so a decision stays a pure function: `resolve` looks
into a cache, the engine fills it before (siphon/services/dns/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from siphon.config.settings import Settings
from siphon.engine._changing import Changing
from siphon.forwarding.next_hop import Hop
from siphon.forwarding.signer import RouteSigner
from siphon.services.dialogs import Dialogs
from siphon.services.dns import Address, Rests
from siphon.sip.identity import Identity
from siphon.state.record import NO_SLOT, Claim, ClaimKind, Record
from siphon.transaction.step import Step
from siphon.transaction.timing import Timing

if TYPE_CHECKING:
    from siphon.engine._attempts import PlainAttempts
    from siphon.engine.call_records import CallWatch

CLAIM_SECS = 0.5
"""A claim's deadline: after this long somebody looks whether its claimant still lives."""


class ScriptFacts(Protocol):
    """Which handlers a script version has; decides which claims are made."""

    @property
    def replies(self) -> dict[int | None, bool]:
        """Whether a version has a global on_reply, as far as asked; emptied when scripts change."""

    def has_reply(self, record: Record) -> bool: ...
    def has_failure(self, record: Record) -> bool: ...
    def has_cancel(self, record: Record) -> bool: ...


class Missing(Exception):
    """A decision needs the addresses of `hop`, which are not in the cache: it is made again after a look-up. Nothing of
    it has happened, since it worked on a copy."""

    def __init__(self, hop: Hop) -> None:
        super().__init__(hop)
        self.hop = hop


@dataclass(slots=True)
class Environment(Changing):
    """One process's constants for decisions. The short ways keep copies of its fields until one gets another value."""

    settings: Settings
    identity: Identity
    signer: RouteSigner | None
    timing: Timing
    id_key: bytes
    tag_key: bytes
    loop_key: bytes
    script: ScriptFacts
    resolve: Callable[[Hop], list[Address] | None]
    """Where to try a hop, in order, from the cache; [] when it does not resolve, None when it must be looked up."""
    local_ip: Callable[[int, str], str]
    """Local address from which the wildcard listener of that index reaches an address; '' for others."""
    is_here: Callable[[int], bool] = lambda listener: True
    """Whether this machine has the address of the listener of that index now."""
    dialogs: Dialogs | None = None
    rests: Rests | None = None
    slot: int = 0
    owner: int = 0
    """Who owns the deadlines of what this process commits: itself, or the slot that a helper acts for."""
    generation: int = 0
    runs_handlers: bool = True
    server: str | None = None
    cdr: CallWatch | None = None
    """Told of calls that are answered, end or fail; None: nobody writes them down."""
    plain: PlainAttempts | None = None
    """The short way of most attempts; None: all take the long one."""

    def claim(self, step: Step, kind: ClaimKind, branch: int = 0, runs: int = 0) -> Claim:
        """Claim handlers of the record; a process that runs none leaves the claim for the next worker."""
        slot = self.slot if self.runs_handlers else NO_SLOT
        claim = Claim(kind, branch, slot, self.generation, runs, step.now + CLAIM_SECS)
        step.record.drop_claim(kind, branch)
        step.record.claims.append(claim)
        if self.runs_handlers:
            step.work.append(claim)
        return claim
