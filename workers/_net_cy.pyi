from collections.abc import Callable

def boottime() -> float: ...

class Received:
    data: bytes
    source: tuple[str, int]
    listener: int
    socket: int
    local: str
    arrived: float
    def __init__(
        self,
        data: bytes,
        source: tuple[str, int],
        listener: int = 0,
        socket: int = 0,
        local: str = "127.0.0.1",
        arrived: float = 0.0,
    ) -> None: ...

class Reader:
    fd: int
    listener: int
    socket: int
    now: float
    stale: int
    drops: int
    def __init__(self, fd: int, listener: int, socket: int, ledger: memoryview | bytearray | None = None) -> None: ...
    def receive(
        self, limit: int = 32, stale_after: float = 0.0, keep_stale: Callable[[bytes], bool] | None = None
    ) -> list[Received]: ...

def receive_batch(fd: int, listener: int, socket_index: int, limit: int = 32) -> list[Received]: ...

class Unreachable:
    listener: int
    to: tuple[str, int]
    errno: int
    data: bytes
    def __init__(self, listener: int, to: tuple[str, int], errno: int, data: bytes) -> None: ...

def read_errors(fd: int, listener: int = 0, limit: int = 64) -> list[Unreachable]: ...

class Outbox:
    def __init__(self, sockets: list[int]) -> None: ...
    def put(self, data: bytes, to: tuple[str, int], listener: int, source: str | None = None) -> None: ...
    def flush(self) -> int: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...
    @property
    def failures(self) -> list[tuple[int, int]]: ...
    @property
    def function_address(self) -> int: ...
    @property
    def argument_address(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def lost(self) -> int: ...
