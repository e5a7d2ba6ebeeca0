from siphon.script.request import Request

Scheme = tuple[str, str, int, str]
WWW: Scheme
PROXY: Scheme

class Requiring:
    def require_www_digest(
        self, target: Request, realm: str | None = None, password: str | None = None, ha1: str | None = None
    ) -> bool: ...
    def require_proxy_digest(
        self, target: Request, realm: str | None = None, password: str | None = None, ha1: str | None = None
    ) -> bool: ...
    def require_digest(
        self, target: Request, realm: str | None = None, password: str | None = None, ha1: str | None = None
    ) -> bool: ...
