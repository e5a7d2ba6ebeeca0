"""The namespace `auth`: digest checks of the request at hand (RFC 7616, RFC 8760), synchronous.

What is right is judged by siphon.services.digest; here a failed `require_*` arms the challenge. A challenge is
stateless: nothing is kept for a sender that has not proved who it is (RFC 3261 §26.3.2.4). Only inside a dialog whose
path we are on, as a signed Route shows, it goes through the transaction, which takes the ACK with the dialog's tag.
Secrets that another service knows have been fetched before the handlers started; when it gave no answer `require_*`
arms 500.
"""

from __future__ import annotations

from typing import Any

from siphon.forwarding.routes import RouteFacts, loose_route
from siphon.script import binding, text
from siphon.script._requiring import PROXY, WWW, Requiring
from siphon.script.context import Services
from siphon.script.outcome import Answer
from siphon.script.request import Request
from siphon.script.stubs import unavailable
from siphon.state.store import Wait

Scheme = tuple[str, str, int, str]


class Auth(Requiring):
    """`from siphon import auth`."""

    __slots__ = ()

    def _require(
        self, target: Request, scheme: Scheme, realm: str | None, password: str | None, ha1: str | None
    ) -> bool:
        """require_* of what is not plain."""
        return _require(target, scheme, realm, password, ha1)

    def _keeps_state(self, target: Request) -> bool:
        """Whether a challenge of this request goes through its transaction."""
        return _keeps_state(target)

    def _remove(self, target: Request, header: str) -> None:
        """Take the one line of credentials out of a request that was edited before."""
        _remove(target, header, (0,))

    def verify_digest(
        self, target: Request, realm: str | None = None, password: str | None = None, ha1: str | None = None
    ) -> bool:
        """Verify either header; arms and removes nothing, sets `auth_user` on success."""
        _checked(target, password, ha1)
        for header in (WWW[0], PROXY[0]):
            verdict = _verify(target, header, _realm(realm), password, ha1)
            if verdict.ok:
                target.auth_user = verdict.user
                _await(target, WWW if header == WWW[0] else PROXY, verdict.confirmed, _realm(realm), password, ha1)
                return True
        return False

    def generate_nonce(self) -> str:
        """A fresh nonce of this instance."""
        services = binding.current().services
        nonce: str = _digest(services).generate_nonce(services.wall())
        return nonce

    def validate_nonce(self, nonce: str) -> bool:
        """Whether this is a fresh nonce of ours; never raises and is no use of it."""
        services = binding.current().services
        return services.digest is not None and bool(services.digest.validate_nonce(nonce, services.wall()))

    require_ims_digest = unavailable("auth.require_ims_digest")
    require_aka_digest = unavailable("auth.require_aka_digest")
    aka_credentials = unavailable("auth.aka_credentials")

    def __repr__(self) -> str:
        return "<namespace auth>"


def _checked(target: object, password: str | None, ha1: str | None) -> None:
    if not isinstance(target, Request):
        raise TypeError(f"a Request is needed, not {type(target).__name__}")
    if password is not None and ha1 is not None:
        raise ValueError("password and ha1 exclude each other")


def _digest(services: Services) -> Any:
    if services.digest is None:
        raise RuntimeError("authentication is not there: a script may use it in handlers, not while it is loaded")
    return services.digest


def _realm(realm: str | None) -> str:
    if realm is None:
        configured: str = binding.current().settings.auth.realm
        return configured
    return text.one_line(realm, "realm")


def _require(target: Request, scheme: Scheme, realm: str | None, password: str | None, ha1: str | None) -> bool:
    _checked(target, password, ha1)
    header, challenge, status, reason = scheme
    context, message = target._context, target._message
    if message.method in ("ACK", "CANCEL"):  # never challenged (RFC 3261 §22.1)
        return True
    realm = _realm(realm)
    digest = _digest(context.services)
    verdict = _verify(target, header, realm, password, ha1)
    if verdict.ok:
        target.auth_user = verdict.user
        _await(target, scheme, verdict.confirmed, realm, password, ha1)
        _remove(target, header, verdict.line_indexes)
        return True
    if not target._may_arm("auth"):
        return False
    stateless = not _keeps_state(target)
    if verdict.unavailable:
        target._arm(Answer(500, "Authentication Unavailable", stateless=stateless))
        return False
    if verdict.banned:
        target._arm(Answer(403, "Forbidden", stateless=stateless))
        return False
    if verdict.bad_request:
        target._arm(Answer(400, verdict.reason or "Bad Credentials", stateless=stateless))
        return False
    _challenge(target, digest, scheme, realm, stale=verdict.stale, password=password, ha1=ha1)
    return False


def _keeps_state(target: Request) -> bool:
    """Whether a challenge goes through the transaction: the request is inside a dialog, and a Route of ours or the
    script's loose_route() says so. A To tag alone is anybody's to write, and would be answered by all of Timer G."""
    context, message = target._context, target._message
    if not message.to_tag:
        return False
    if context.consumed_routes or (target._loose is not None and target._loose.accepted):
        return True
    return loose_route(RouteFacts.of(message), context.identity, context.services.signer).accepted


def _challenge(
    target: Request,
    digest: Any,
    scheme: Scheme,
    realm: str,
    *,
    stale: bool = False,
    password: str | None = None,
    ha1: str | None = None,
) -> None:
    """Arm the challenge."""
    context = target._context
    _, challenge, status, reason = scheme
    values = digest.challenges(
        realm, stale=stale, wall=context.wall, ha1=ha1, password=password, source=context.source[0]
    )
    stateless = not _keeps_state(target)
    target._arm(Answer(status, reason, stateless=stateless, headers=[(challenge, value) for value in values]))


def _await(
    target: Request, scheme: Scheme, confirmed: Wait | None, realm: str, password: str | None, ha1: str | None
) -> None:
    """What the handlers decide holds once all nodes have agreed that the nonce count is new; else it is this
    challenge."""
    if confirmed is None:
        return
    _, challenge, status, reason = scheme
    context = target._context
    values = _digest(context.services).challenges(
        realm, stale=True, wall=context.wall, ha1=ha1, password=password, source=context.source[0]
    )
    target._confirms.append((confirmed, Answer(status, reason, headers=[(challenge, value) for value in values])))


def _verify(target: Request, header: str, realm: str, password: str | None, ha1: str | None) -> Any:
    """The verdict on the lines as received: a second check of a request finds what the first has removed."""
    context, message = target._context, target._message
    verdict = _digest(context.services).verify(
        message.all_lines(header),
        message.method,
        message.uri if context.uri_received is None else context.uri_received,
        realm,
        transaction_id=context.transaction_id,
        wall=context.wall,
        password=password,
        ha1=ha1,
        fetched=context.secrets,
        source=context.source[0],
    )
    if verdict.failed:
        target._auth_failures += 1
    return verdict


def _remove(target: Request, header: str, indexes: tuple[int, ...]) -> None:
    """Take our credentials out of what is forwarded; those for other realms stay."""
    lines = target._message.all_lines(header)
    ours = {lines[index] for index in indexes}
    draft = target._edit()
    at = draft.index(header)
    while at >= 0:
        if draft.lines()[at][1] in ours:
            draft.remove_line(at)
            at -= 1
        at = draft.index(header, at + 1)
