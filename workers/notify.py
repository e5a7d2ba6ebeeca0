"""sd_notify: tells a service manager how far this process is, by datagrams to the socket that NOTIFY_SOCKET names, and
gives it sockets to keep: it hands them to the next start of the service (kept.py).

Without NOTIFY_SOCKET, or when the manager does not listen, every call does nothing: a service must not fail for that.
"""

import os
import select
import socket
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress

KEEP_WAIT_SECS = 1.0


class Notifier:
    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self.address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_secs = 0.0
        if self.address and environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                self.watchdog_secs = int(environ.get("WATCHDOG_USEC", "0")) / 1e6

    def send(self, text: str) -> None:
        self.try_to(text, (), 0.0)

    def try_to(self, text: str, descriptors: Sequence[int], wait_secs: float) -> bool:
        """False when nobody is there, or does not read within the time."""
        if not self.address:
            return False
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(wait_secs)
                sock.sendmsg([text.encode()], rights, 0, self.address)
        except OSError:
            return False
        return True

    def keep(self, sockets: Mapping[str, socket.socket]) -> bool:
        """Give them to the manager, by name; it takes no harm from one that it has already. Without FDPOLL=0 it would
        let a socket go as soon as an ICMP error waits in it."""
        return all(
            self.try_to(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [sock.fileno()], KEEP_WAIT_SECS)
            for name, sock in sockets.items()
        )

    def handed_to(self, pid: int) -> None:
        """Another process is the service from now on. Returns when the manager has taken note: it looks at what a
        process says, and whether it may, by the process, which will be gone soon."""
        if self.try_to(f"MAINPID={pid}", (), KEEP_WAIT_SECS):
            reading, writing = os.pipe()
            sent = self.try_to("BARRIER=1", [writing], KEEP_WAIT_SECS)
            os.close(writing)
            if sent:
                select.select([reading], [], [], KEEP_WAIT_SECS)  # the manager closes its copy when it has read so far
            os.close(reading)

    def forget(self, name: str) -> None:
        """The manager closes what it keeps under this name."""
        self.try_to(f"FDSTOREREMOVE=1\nFDNAME={name}", (), KEEP_WAIT_SECS)

    def ready(self) -> None:
        self.send("READY=1")

    def status(self, text: str) -> None:
        self.send(f"STATUS={text}")

    def extend(self, secs: float) -> None:
        """The start takes longer than usual, and will say so again within that time."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(secs * 1e6)}")

    def stopping(self) -> None:
        self.send("STOPPING=1")

    def reloading(self) -> None:
        self.send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def watchdog(self) -> None:
        self.send("WATCHDOG=1")
