from siphon.script.contact import Contact
from siphon.script.uri import SipUri

class Lookups:
    def lookup(self, uri: str | SipUri) -> list[Contact]: ...

def aor_of(uri: object) -> str: ...
