"""What a phone with a password sends."""

from hashlib import md5

from siphon.testing.agent import Agent

REGISTRAR = "sip:example.com"


def credentials(challenge: str, user: str = "bob", password: str = "secret", nc: int = 1) -> str:
    """The Authorization line of a REGISTER that answers a challenge; passwords are those of settings_for_tests."""
    nonce = challenge.partition('nonce="')[2].partition('"')[0]
    one, two = (md5(text.encode()).hexdigest() for text in (f"{user}:example.com:{password}", f"REGISTER:{REGISTRAR}"))
    answer = md5(f"{one}:{nonce}:{nc:08x}:c:auth:{two}".encode()).hexdigest()
    return (
        f'Authorization: Digest username="{user}", realm="example.com", nonce="{nonce}", uri="{REGISTRAR}", '
        f'qop=auth, nc={nc:08x}, cnonce="c", response="{answer}"'
    )


def challenge(phone: Agent, user: str = "bob") -> str:
    """The challenge that a REGISTER of this phone without credentials gets."""
    phone.send(phone.request("REGISTER", REGISTRAR, call_id=f"r-{phone.port}", to=f"sip:{user}@example.com"))
    return (phone.last.first("WWW-Authenticate") or b"").decode()


def register(phone: Agent, answer: str, user: str = "bob") -> None:
    """The same REGISTER with credentials."""
    to = f"sip:{user}@example.com"
    phone.send(phone.request("REGISTER", REGISTRAR, call_id=f"r-{phone.port}", cseq=2, to=to, headers=answer))
