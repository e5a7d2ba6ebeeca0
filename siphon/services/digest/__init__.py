"""Digest authentication: `DigestVerifier` judges credentials and makes challenges (RFC 7616, RFC 8760)."""

from siphon.services.digest.over_http import http_fetch
from siphon.services.digest.remote import Fetch, Fetched, RemoteSecrets
from siphon.services.digest.users import Secret
from siphon.services.digest.verifier import Confirm, DigestVerifier, Tally, Verdict, given_secret

__all__ = [
    "Confirm",
    "DigestVerifier",
    "Fetch",
    "Fetched",
    "RemoteSecrets",
    "Secret",
    "Tally",
    "Verdict",
    "given_secret",
    "http_fetch",
]
