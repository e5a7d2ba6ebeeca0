"""What is measured: for each scenario the flow that the load generator drives and what the servers need for it."""

from __future__ import annotations

from dataclasses import dataclass

CALLERS, CALLEES = 32, 36
"""Ports of callers and of phones; the latter a multiple of every `contacts`."""


@dataclass(frozen=True)
class Scenario:
    name: str
    flow: str
    """Of the driver: call, message or register."""
    what: str
    """In words, with the messages that pass."""
    digest: bool = True
    """REGISTER is challenged; where it is, siphond runs the recipe word for word."""
    contacts: int = 1
    callers: int = CALLERS
    callees: int = CALLEES
    steering: str = "flow"
    users: int = 1000

    def options(self) -> dict[str, object]:
        """For the driver, rate and length apart."""
        return {
            "flow": self.flow,
            "users": self.users,
            "contacts": self.contacts,
            "callers": self.callers,
            "callees": self.callees,
        }

    def registrations(self) -> dict[str, object]:
        """That come before it: every user once."""
        return self.options() | {"flow": "register", "calls": self.users, "flight": min(64, self.users)}


CALL = "INVITE 100 180 200 ACK BYE 200"

SCENARIOS = (
    Scenario("call", "call", f"{CALL}; 32 callers, 36 phones of 1000 users"),
    Scenario("register", "register", "REGISTER 200; no password", digest=False),
    Scenario("digest", "register", "REGISTER 401 REGISTER 200; a new nonce each time"),
    Scenario("fork", "call", f"{CALL} with three contacts: two get CANCEL, answer 487, get ACK", contacts=3),
    Scenario("message", "message", "MESSAGE 200 outside dialogs"),
    Scenario(
        "trunk",
        "call",
        f"{CALL} from one address and port to one other; workers.steering is spread",
        callers=1,
        callees=1,
        steering="spread",
        users=1,
    ),
    Scenario("lookups", "call", f"{CALL} to users picked from all that are registered", digest=False, users=20000),
)


def named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
