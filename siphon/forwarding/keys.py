"""Keys of the forwarding core, derived from the secrets that all workers share.

In: one secret of `auth.nonce_secret` (any length) and a purpose. Out: a 32-byte key. Each purpose has its own key,
so a token made for one place proves nothing in another. Secrets of other parts (nonces) are derived likewise under
other purposes.
"""

import hmac

TRANSACTION = b"siphond transaction id"
TO_TAG = b"siphond to tag"
LOOP = b"siphond loop value"
ROUTES = b"siphond routes"


def derive_key(secret: bytes, purpose: bytes) -> bytes:
    """32 bytes: HMAC-SHA256 of the purpose under the secret (RFC 2104). An empty secret is a ValueError."""
    if not secret:
        raise ValueError("an empty secret signs nothing")
    return hmac.digest(secret, purpose, "sha256")
