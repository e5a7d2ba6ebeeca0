"""A TCP relay between a siphond and its Redis that a test can cut: then nothing passes in either direction, and nobody
is told, as when a network is parted."""

from __future__ import annotations

import selectors
import socket
import threading

PORTION = 65536


class Wire:
    """Listens on `port` of 127.0.0.1 while it is entered."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._passes = threading.Event()
        self._passes.set()
        self._end = False
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Wire:
        self._selector.register(self._server, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end = True
        self._passes.set()
        self._thread.join()
        for one in list(self._peers):
            one.close()
        self._server.close()
        self._selector.close()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._passes.clear()

    def mend(self) -> None:
        """What was sent meanwhile passes now, as TCP would repeat it."""
        self._passes.set()

    def _run(self) -> None:
        while not self._end:
            self._passes.wait()
            for key, _ in self._selector.select(0.02):
                if not self._passes.is_set():
                    break
                if key.fileobj is self._server:
                    self._connect()
                else:
                    self._pass(key.fileobj)  # type: ignore[arg-type]

    def _connect(self) -> None:
        one, _ = self._server.accept()
        try:
            other = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            one.close()
            return
        for here, there in ((one, other), (other, one)):
            self._peers[here] = there
            self._selector.register(here, selectors.EVENT_READ)

    def _pass(self, here: socket.socket) -> None:
        there = self._peers.get(here)
        if there is None:
            return
        try:
            data = here.recv(PORTION)
            if data:
                there.sendall(data)
                return
        except OSError:
            pass
        for one in (here, there):
            if self._peers.pop(one, None) is not None:
                self._selector.unregister(one)
                one.close()
