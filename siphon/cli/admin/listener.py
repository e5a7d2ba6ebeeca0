"""One HTTP listener on the asyncio loop of a helper process: uvicorn without its signals and its log.

An address that cannot be had is tried again every RETRY_SECS, with one line in the log: whoever holds it may be the
siphond before this one, or an administrator's mistake that a reload puts right. Neither is a reason to die.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

from siphon.config.log import Log
from siphon.config.values import split_address

RETRY_SECS = 1.0
BACKLOG = 128
MOST_CONNECTIONS = 256


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the supervisor's."""
        yield


class Listener:
    """Serves `application` at `address`, "ip:port", from open() to close()."""

    def __init__(self, address: str, application: Any, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self.address = address
        self.loop = loop
        self.log = log
        self.config = uvicorn.Config(
            application,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=1,
            limit_concurrency=MOST_CONNECTIONS,
            backlog=BACKLOG,
        )
        self.server: _Server | None = None
        self.task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begins to serve, or to try."""
        self.task = self.loop.create_task(self._run())

    def close(self) -> None:
        """The socket is closed when this returns; answers in progress may go on for a second."""
        if self.server is not None:
            self.server.should_exit = True
            for server in getattr(self.server, "servers", []):
                server.close()
        elif self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        told = False
        while True:
            try:
                sock = bound(self.address)
            except OSError as error:
                if not told:
                    self.log.error("admin.cannot_listen", address=self.address, error=error.strerror or str(error))
                    told = True
                await asyncio.sleep(RETRY_SECS)
                continue
            self.log.info("admin.listening", address=self.address)
            self.server = _Server(self.config)
            await self.server.serve(sockets=[sock])
            return


def bound(address: str) -> socket.socket:
    """A listening socket; OSError where there is none to be had."""
    ip, port = split_address(address)
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((ip, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
