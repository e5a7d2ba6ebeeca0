import os
from typing import Literal

from shm._looking import Looking
from shm.slots import Slots
from shm.values import Action, Head, RecoveryReport, VerifyReport

CONFLICT_: Literal[0]
FULL_: Literal[-1]
BUSY_: Literal[-2]
MAX_VALUE: int
KEY_BYTES: int
BLOCK_BYTES: int
OPERATIONS: tuple[str, ...]
POINTS: tuple[str, ...]
HAS_POINTS: bool

def arm_point(name: str, count: int, signal_number: int) -> None: ...
def checksum_of(data: bytes, *, soft: bool = False, plain: bool = True) -> int: ...

class Table(Looking):
    @staticmethod
    def create(
        path: str | os.PathLike[str],
        *,
        records: int,
        blocks: int,
        slots: int = 64,
        boot_id: bytes = ...,
        fresh: bool = False,
        reserve_blocks: int = -1,
        reserve_records: int = -1,
        wall_expiry: bool = False,
        marked: bool = False,
        block_bytes: int = 512,
    ) -> Table: ...
    @staticmethod
    def join(
        path: str | os.PathLike[str],
        *,
        records: int,
        blocks: int,
        slots: int = 64,
        boot_id: bytes = ...,
        reserve_blocks: int = -1,
        reserve_records: int = -1,
        wall_expiry: bool = False,
        marked: bool = False,
        block_bytes: int = 512,
    ) -> Table: ...
    @staticmethod
    def attach(path: str | os.PathLike[str]) -> Table: ...
    @staticmethod
    def view(path: str | os.PathLike[str]) -> Table: ...
    slot: int
    @property
    def generation(self) -> int: ...
    def watch(self, slots: Slots, index: int) -> None: ...
    def close(self) -> None: ...
    def get(self, key: bytes) -> tuple[int, bytes] | None | Literal[-2]: ...
    def head(self, key: bytes) -> Head | None | Literal[-2]: ...
    def is_past(self, key: bytes, version: int) -> bool: ...
    @property
    def past_call(self) -> tuple[int, int]: ...
    def commit(
        self,
        key: bytes,
        expected: int,
        value: bytes,
        *,
        owner: int,
        next_deadline: float = 0.0,
        claim_deadline: float = 0.0,
        expiry: float = 0.0,
        action: Action | None = None,
        use_reserve: bool = True,
    ) -> int: ...
    def delete(self, key: bytes, expected: int, *, action: Action | None = None) -> int: ...
    def expire(self, now: float, limit: int) -> int: ...
    def recover(self, slot: int) -> RecoveryReport: ...
    def verify(self) -> VerifyReport: ...
