from collections.abc import Callable

from workers.application import Application, WorkerContext
from workers.net import Reader

def wait_quietly(epoll: int, interval: float, until: float, stirs: tuple[Callable[[], object], ...]) -> float: ...

class Turns:
    now: float
    beaten: float
    next_look: float
    next_count: float
    next_tick: float | None
    finishing: bool
    datagrams: int
    readers: dict[int, Reader]
    @property
    def context(self) -> WorkerContext: ...
    @property
    def application(self) -> Application: ...
    def __init__(
        self,
        context: WorkerContext,
        application: Application,
        epoll: int,
        control: int,
        limit: int,
        stale_after: float,
        keep_stale: Callable[[bytes], bool] | None,
    ) -> None: ...
    def turn(self) -> None: ...
    def keep_beating(self) -> None: ...
