"""Stands in for systemd: listens where NOTIFY_SOCKET says, keeps the descriptors of FDSTORE=1 by their names, and hands
them to the next start by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, from descriptor 3 on.

As systemd does, it keeps a socket once however often it is sent, hears nobody but the main process, and learns from
MAINPID= who that is.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proxy_process import START_SECS, Siphond

LAUNCHER = """
import fcntl, os, sys
names, descriptors, line = sys.argv[1], sys.argv[2].split(",") if sys.argv[2] else [], sys.argv[3:]
high = [fcntl.fcntl(int(descriptor), fcntl.F_DUPFD_CLOEXEC, 500) for descriptor in descriptors]
for number, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + number)
if high:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
os.execv(line[0], line)
"""


class Manager:
    """`said` is what the main process has said, in order, without the sockets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listening.bind(str(path))
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.listening.settimeout(0.05)
        self.store: dict[str, int] = {}
        self.said: list[str] = []
        self.ignored: list[str] = []
        self.main = 0
        self.ends = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.ends:
            try:
                data, extra, _, _ = self.listening.recvmsg(8192, 4096)
            except TimeoutError:
                continue
            self.hear(data.decode(), extra)

    def hear(self, text: str, extra: list[tuple[int, int, bytes]]) -> None:
        descriptors, sender = [], 0
        for _, kind, data in extra:
            if kind == socket.SCM_RIGHTS:
                descriptors = list(struct.unpack(f"{len(data) // 4}i", data))
            elif kind == socket.SCM_CREDENTIALS:
                sender = struct.unpack("iII", data)[0]
        lines = dict(line.split("=", 1) for line in text.split("\n"))
        if "BARRIER" in lines:
            pass
        elif sender != self.main:
            self.ignored.append(text)
        elif "FDSTORE" in lines:
            assert lines["FDPOLL"] == "0"
            self.keep(lines["FDNAME"], descriptors)
            descriptors = []
        elif "FDSTOREREMOVE" in lines:
            os.close(self.store.pop(lines["FDNAME"]))
        else:
            self.said.append(text)
            self.main = int(lines.get("MAINPID", self.main))
        for descriptor in descriptors:
            os.close(descriptor)

    def keep(self, name: str, descriptors: list[int]) -> None:
        (descriptor,) = descriptors
        known = {os.fstat(kept).st_ino: kept for kept in self.store.values()}
        if os.fstat(descriptor).st_ino in known:
            os.close(descriptor)
        else:
            assert name not in self.store
            self.store[name] = descriptor

    def start(self, proxy: Siphond, names: str | None = None, ready: Callable[[Siphond], object] | None = None) -> None:
        """Starts it with all that is kept; `names` instead of their names."""
        said = len(self.said)
        self.launch(proxy, names)
        deadline = time.monotonic() + START_SECS
        while "READY=1" not in self.said[said:]:
            assert time.monotonic() < deadline, proxy.log()
            assert proxy.process is not None
            assert proxy.process.poll() is None, proxy.log()
            time.sleep(0.01)

    def launch(self, proxy: Siphond, names: str | None = None) -> None:
        descriptors = list(self.store.values())
        listed = ",".join(map(str, descriptors))
        names = ":".join(self.store) if names is None else names
        proxy.prefix = [sys.executable, "-c", LAUNCHER, names, listed]
        proxy.inherited = descriptors
        self.main = proxy.launch().pid

    def close(self) -> None:
        self.ends = True
        self.thread.join()
        self.listening.close()
        for descriptor in self.store.values():
            os.close(descriptor)
