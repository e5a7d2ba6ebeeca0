"""Digest authentication: credentials of a request in, a verdict out (RFC 7616, RFC 8760, RFC 3261 §22).

The order of the checks is that of the script API: realm, algorithm, nonce authentic, the user's secret, digest, URI,
nonce fresh, nonce count. So nothing but the holder of a secret learns about the state of a nonce or sees a 400, and a
guessed nonce costs one keyed hash. An unknown user costs what a wrong password costs: the same hashes are computed
over a stand-in. The only thing kept is the count of a nonce, in a table that all workers share (`uses`).

Where another service knows the users (`auth.backend = "http"`) their secrets are fetched before handlers run (see
remote.py) and handed in; nothing here waits.

Nothing here answers anybody. `Verdict` says what was found; `challenges` gives the header values for a 401 or 407.

Raises StoreError (a RuntimeError) when the shared table fails; ValueError for a bad realm, password or HA1 argument.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from siphon.config.settings import Auth
from siphon.services.bans.units import unit_of
from siphon.services.digest._plain import PlainDigest
from siphon.services.digest.credentials import Credentials, parse_credentials
from siphon.services.digest.hashes import BY_NAME, Algorithm, ha1, hash_function, response
from siphon.services.digest.nonce import Nonces
from siphon.services.digest.targets import same_target
from siphon.services.digest.users import Secret, users_from_settings
from siphon.services.digest.uses import ONCE, REPEAT_SECS, NonceUses, Use
from siphon.services.store import RecordTable
from siphon.state.store import Wait

MOST_USERS = 4  # of one request whose secrets are fetched
MOST_LINES = 8  # credentials for one realm that are tried; the rest are ignored
_COUNT = re.compile(rb"[0-9A-Fa-f]{1,8}")
REALMS = 64  # whose challenges are remembered
_UNFIT_FOR_HEADER = re.compile(r"[\x00-\x1f\x7f]")
_STAND_IN = Secret(password=b"nobody has this password")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the credentials of a request are worth.

    `ok`: verified; `user` is the name as sent and `line_indexes` the lines with our realm, to be removed.
    `stale`: the digest was right, the nonce too old or its count used. `bad_request`: answer 400 with `reason`.
    `failed`: somebody tried and failed; a request without credentials or with a stale nonce did not.
    `banned`: this user has failed too often at this address, and nothing was looked at: 403.
    `unavailable`: the service that knows the users gave no answer about this one: 500, and no failure of the user's.
    `confirmed`: it holds as far as this node knows; the Wait gives True, False (another node has seen that nonce
    count), or None when the nodes could not be asked.
    """

    ok: bool = False
    user: str | None = None
    stale: bool = False
    bad_request: bool = False
    failed: bool = False
    unavailable: bool = False
    banned: bool = False
    line_indexes: tuple[int, ...] = ()
    reason: str = ""
    confirmed: Wait | None = None


Confirm = Callable[[bytes, int, bytes, float, bool], Wait]


class Tally(Protocol):
    """Counts wrong passwords: siphon.services.bans.Failures."""

    def concerns(self, source: str) -> bool: ...

    def refuses(self, source: str, user: bytes, transaction: bytes) -> bool: ...

    def failed(self, source: str, user: bytes, is_nobody: bool, transaction: bytes) -> None: ...

    def succeeded(self, source: str, user: bytes) -> None: ...


@dataclass(slots=True)
class _Attempt:
    """Credentials for our realm whose nonce is ours: what the digest has to be computed over."""

    algorithm: Algorithm
    user: bytes
    nonce: bytes
    made_at: int
    uri: bytes
    answer: bytes
    protection: tuple[bytes, bytes, bytes] | None


class DigestVerifier:
    """Verifies credentials and makes challenges. One for each process; what it remembers lies in `table`.

    `users` finds a user's secret and is `settings.users` when not given; `is_local` serves `uri_check = "lax"`.
    A reload of the configuration makes a new one over the same table.
    """

    def __init__(
        self,
        settings: Auth,
        secrets: Sequence[bytes],
        table: RecordTable,
        hash_key: bytes,
        *,
        users: Callable[[bytes], Secret | None] | None = None,
        is_local: Callable[[str], bool] = lambda host: False,
        confirm: Confirm | None = None,
        tally: Tally | None = None,
    ) -> None:
        """`confirm(nonce, count, transaction, secs, once)` asks all nodes for a use that this one has accepted. With a
        `tally` a nonce is good only where it was sent."""
        self._confirm = confirm
        self._tally = tally
        self._ttl = settings.nonce_ttl_secs
        self._allow_no_qop = settings.allow_no_qop
        self._lax = settings.uri_check == "lax"
        self._remote = settings.backend == "http"
        self._one_form = self._remote and settings.http is not None and settings.http.ha1
        self._algorithms = tuple(dict.fromkeys(BY_NAME[name.lower()] for name in settings.algorithms))
        self._secret, self._hash_key = secrets[0], hash_key
        self._nonces = Nonces(secrets, settings.nonce_ttl_secs)
        self._uses = NonceUses(table, hash_key, settings.nonce_ttl_secs)
        self._users = users if users is not None else users_from_settings(settings.users).get
        self._is_local = is_local
        self._hashes = {algorithm: hash_function(algorithm) for algorithm in Algorithm}
        self._texts: dict[tuple[str, bool, tuple[Algorithm, ...]], list[tuple[str, str]]] = {}
        self.plain: PlainDigest | None = None
        """The short way of most credentials."""

    def shorten(self, check: Callable[..., None] | None = None) -> None:
        """Take the short way, where nobody else is asked and nothing is counted; `check` compares it with the long
        one."""
        if not self._remote and self._confirm is None and self._tally is None:
            self.plain = PlainDigest(self, self._secret, self._hash_key, check)

    def verify(
        self,
        lines: Sequence[bytes],
        method: str,
        request_uri: bytes,
        realm: str,
        *,
        transaction_id: bytes,
        wall: float,
        password: str | None = None,
        ha1: str | None = None,
        fetched: Mapping[bytes, Secret | None] | None = None,
        source: str = "",
    ) -> Verdict:
        """Judge the values of a request's Authorization or Proxy-Authorization lines.

        `request_uri` as received, `source` the address it came from ("": nothing is counted). `fetched` is what another
        service said about the users of `users_to_fetch`. Call it as often as you like for one `transaction_id`: that is
        one use of the nonce.
        """
        given = given_secret(password, ha1)
        offered = self.offered(ha1, password)
        realm_bytes = realm.encode("utf-8", "surrogateescape")
        indexes: list[int] = []
        worst = Verdict()
        tally = self._tally if self._tally is not None and source and self._tally.concerns(source) else None
        for index, line in enumerate(lines):
            credentials = parse_credentials(line)
            if credentials is None or not _concerns(credentials, realm_bytes):
                continue
            indexes.append(index)
            if len(indexes) > MOST_LINES:
                continue
            verdict = self._judge(
                credentials, method, request_uri, realm, offered, given, fetched, transaction_id, wall, source, tally
            )
            worst = _graver(worst, verdict)
        if worst.ok:
            return Verdict(ok=True, user=worst.user, line_indexes=tuple(indexes), confirmed=worst.confirmed)
        return worst

    def users_to_fetch(self, lines: Iterable[bytes]) -> list[bytes]:
        """The users that credentials with a nonce of ours name, whatever their realm: a script may choose that. For
        anybody else there is a challenge without a look at the secret."""
        users: dict[bytes, None] = {}
        for line in islice(lines, 2 * MOST_LINES):
            credentials = parse_credentials(line)
            user = None if credentials is None or credentials.faulty else credentials.user()
            if credentials is None or user is None or len(users) == MOST_USERS:
                continue
            if self._nonces.made_at(credentials.value("nonce") or b"") is not None:
                users[user] = None
        return list(users)

    def offered(self, ha1: str | None = None, password: str | None = None) -> tuple[Algorithm, ...]:
        """The algorithms of a challenge; a single HA1 serves the one that it was made for."""
        if ha1 is not None:
            return tuple(Secret.from_ha1(ha1).ha1)
        return self._algorithms[:1] if self._one_form and password is None else self._algorithms

    def challenges(
        self,
        realm: str,
        *,
        stale: bool,
        wall: float,
        ha1: str | None = None,
        password: str | None = None,
        source: str = "",
    ) -> list[str]:
        """Header values for WWW-Authenticate or Proxy-Authenticate, one an algorithm, strongest as configured. `source`
        is where they are sent to."""
        about = realm, stale, self.offered(ha1, password)
        texts = self._texts.get(about)
        if texts is None:
            texts = self._around_nonces(*about)
        if self.plain is not None:
            nonce = self.plain.nonce(wall)
        else:
            nonce = self._nonces.make(wall, unit_of(source) if source and self._tally is not None else "")
        return [before + nonce + after for before, after in texts]

    def _around_nonces(self, realm: str, stale: bool, offered: tuple[Algorithm, ...]) -> list[tuple[str, str]]:
        """What stands before and behind the nonce of each challenge."""
        quoted, opaque = _quote(realm), self._nonces.opaque(realm)
        tail = ", stale=true" if stale else ""
        texts = [
            (
                f'Digest realm={quoted}, nonce="',
                f'", algorithm={algorithm.value}, qop="auth", opaque="{opaque}"{tail}',
            )
            for algorithm in offered
        ]
        if len(self._texts) < REALMS:
            self._texts[realm, stale, offered] = texts
        return texts

    def generate_nonce(self, wall: float) -> str:
        return self._nonces.make(wall)

    def validate_nonce(self, nonce: object, wall: float) -> bool:
        """Whether this is a fresh nonce of ours. Never raises, does not count as a use."""
        if not isinstance(nonce, str):
            return False
        made_at = self._nonces.made_at(nonce.encode("utf-8", "surrogatepass"))
        return made_at is not None and self._nonces.is_fresh(made_at, wall)

    def _judge(
        self,
        credentials: Credentials,
        method: str,
        request_uri: bytes,
        realm: str,
        offered: tuple[Algorithm, ...],
        given: Secret | None,
        fetched: Mapping[bytes, Secret | None] | None,
        transaction: bytes,
        wall: float,
        source: str,
        tally: Tally | None,
    ) -> Verdict:
        if credentials.faulty:
            return Verdict(bad_request=True, reason="Malformed Credentials")
        attempt = self._attempt(credentials, realm, offered)
        if attempt is None:
            return Verdict(failed=True, reason="credentials do not answer a challenge of ours")
        if tally is not None and method not in ("ACK", "CANCEL"):
            if not self._nonces.was_sent_to(attempt.nonce, unit_of(source)):
                return Verdict(stale=True, reason="nonce of another address")
            if tally.refuses(source, attempt.user, transaction):
                return Verdict(failed=True, banned=True, reason="too many failures")
        else:
            tally = None
        secret: Secret | None
        if given is not None:
            secret = given
        elif not self._remote:
            secret = self._users(attempt.user)
        elif fetched is None or attempt.user not in fetched:
            return Verdict(unavailable=True, reason="no answer about the user")
        else:
            secret = fetched[attempt.user]
        if not self._is_right(attempt, credentials, method, realm, secret):
            if tally is not None:
                tally.failed(source, attempt.user, secret is None, transaction)
            return Verdict(failed=True, reason="wrong digest")
        if not self._fits(credentials.value("uri") or attempt.uri, request_uri):
            return Verdict(bad_request=True, reason="Digest URI Mismatch")
        if not self._is_first_use(attempt, method, transaction, wall):
            return Verdict(stale=True, reason="nonce expired or used")
        if tally is not None:
            tally.succeeded(source, attempt.user)
        user = attempt.user.decode("utf-8", "surrogateescape")
        return Verdict(ok=True, user=user, confirmed=self._asked(attempt, method, transaction, wall))

    def _attempt(self, credentials: Credentials, realm: str, offered: tuple[Algorithm, ...]) -> _Attempt | None:
        """The credentials with everything that needs no secret checked, None when one thing is wrong."""
        algorithm = BY_NAME.get((credentials.value("algorithm") or b"MD5").decode("latin-1").lower())
        user, nonce, answer = credentials.user(), credentials.value("nonce"), credentials.value("response")
        uri, opaque = credentials.raw("uri"), credentials.value("opaque")
        if algorithm not in offered or user is None or nonce is None or answer is None or uri is None:
            return None
        protection = self._protection(credentials)
        if protection is None and not (
            credentials.value("qop") is None and self._allow_no_qop and algorithm is Algorithm.MD5
        ):
            return None
        made_at = self._nonces.made_at(nonce)
        if made_at is None or (opaque is not None and not self._nonces.is_opaque(opaque, realm)):
            return None
        if (credentials.value("userhash") or b"false").lower() == b"true":
            return None  # never offered
        return _Attempt(algorithm, user, nonce, made_at, uri, answer, protection)

    @staticmethod
    def _protection(credentials: Credentials) -> tuple[bytes, bytes, bytes] | None:
        qop, count, cnonce = credentials.value("qop"), credentials.value("nc"), credentials.value("cnonce")
        if qop is None or qop.lower() != b"auth" or count is None or cnonce is None or not _COUNT.fullmatch(count):
            return None
        return count, cnonce, qop

    def _is_right(
        self, attempt: _Attempt, credentials: Credentials, method: str, realm: str, secret: Secret | None
    ) -> bool:
        """Whether the digest is right, at the same cost whoever the user is.

        A client may hash a quoted pair as the character it stands for or as the two that it wrote; both are tried.
        The ACK to a 2xx carries the credentials of its INVITE (RFC 3261 §22.1).
        """
        forms = [(attempt.user, attempt.uri, attempt.protection)]
        if credentials.has_escapes:
            user = credentials.raw("username") or attempt.user
            protection = attempt.protection and (
                attempt.protection[0],
                credentials.raw("cnonce") or b"",
                attempt.protection[2],
            )
            uri = credentials.value("uri") or attempt.uri
            forms += [(user, attempt.uri, protection), (attempt.user, uri, attempt.protection)]
        right = False
        for user, uri, protection in forms:
            key = self._ha1(attempt.algorithm, user, realm, secret)
            for name in (method, "INVITE") if method == "ACK" else (method,):
                expected = response(self._hashes[attempt.algorithm], key, attempt.nonce, name.encode(), uri, protection)
                right |= hmac.compare_digest(expected, attempt.answer)
        return right and secret is not None and (secret.password is not None or attempt.algorithm in secret.ha1)

    def _ha1(self, algorithm: Algorithm, user: bytes, realm: str, secret: Secret | None) -> bytes:
        known = secret if secret is not None else _STAND_IN
        password = known.password if known.password is not None else b""
        computed = ha1(self._hashes[algorithm], user, realm.encode("utf-8", "surrogateescape"), password)
        return known.ha1.get(algorithm, computed)

    def _fits(self, uri: bytes, request_uri: bytes) -> bool:
        return same_target(uri, request_uri, self._is_local if self._lax else None)

    def _is_first_use(self, attempt: _Attempt, method: str, transaction: bytes, wall: float) -> bool:
        if method in ("ACK", "CANCEL"):
            return True  # they cannot be challenged, and repeat the credentials of their INVITE
        if not self._nonces.is_fresh(attempt.made_at, wall):
            return self._uses.was_accepted(attempt.nonce, transaction, wall)
        count = None if attempt.protection is None else int(attempt.protection[0], 16)
        return self._uses.use(attempt.nonce, attempt.made_at, count, transaction, wall) is Use.ACCEPTED

    def _asked(self, attempt: _Attempt, method: str, transaction: bytes, wall: float) -> Wait | None:
        if self._confirm is None or method in ("ACK", "CANCEL"):
            return None
        once = attempt.protection is None
        count = ONCE if attempt.protection is None else int(attempt.protection[0], 16)
        left = max(0.0, attempt.made_at + self._ttl - wall) + REPEAT_SECS
        return self._confirm(attempt.nonce, count, transaction, left, once)


def given_secret(password: str | None, ha1: str | None) -> Secret | None:
    """The secret that a script passed; ValueError for both at once and for an HA1 of a wrong form."""
    if password is not None and ha1 is not None:
        raise ValueError("give a password or an HA1, not both")
    if password is not None:
        return Secret.from_password(password)
    return None if ha1 is None else Secret.from_ha1(ha1)


def _concerns(credentials: Credentials, realm: bytes) -> bool:
    """Whether these credentials are for our realm; damaged ones whose realm could not be read may be."""
    named = credentials.value("realm")
    return named == realm if named is not None else credentials.faulty


def _graver(one: Verdict, other: Verdict) -> Verdict:
    """The verdict that counts for the request: success, then a ban, 400, stale, no answer, failure, nothing."""
    return max(one, other, key=lambda v: (v.ok, v.banned, v.bad_request, v.stale, v.unavailable, v.failed))


def _quote(realm: str) -> str:
    if _UNFIT_FOR_HEADER.search(realm):
        raise ValueError("a realm must not contain control characters")
    return '"' + realm.replace("\\", "\\\\").replace('"', '\\"') + '"'
