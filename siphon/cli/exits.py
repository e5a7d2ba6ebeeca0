"""Exit statuses of siphond and siphonctl, and the one exception that carries them to the top."""

from enum import IntEnum


class Exit(IntEnum):
    """Those above 63 are sysexits.h's; the systemd unit does not restart after USAGE and CONFIGURATION."""

    OK = 0
    NOT_ALL_BEAT = 1
    NOT_READY = 1
    NOT_BANNED = 1
    NOT_THERE = 1
    NOT_RELOADED = 1
    NOT_UPGRADED = 1
    NOT_DONE = 1
    USAGE = 2
    NO_INSTANCE = 3
    NO_SHARED_MEMORY = 71
    SYSTEM = 71
    NOT_WRITTEN = 74
    IN_USE = 75
    CONFIGURATION = 78


class Refusal(Exception):
    """The command ends with `status`; each line of the text is printed after the program's name."""

    def __init__(self, status: Exit, text: str) -> None:
        self.status = status
        super().__init__(text)
