"""A TCP relay between a program and its server: it delays, cuts at a chosen moment, and parts the two."""

from __future__ import annotations

import selectors
import socket
import threading
import time


class Relay:
    """Runs in a thread. `delay` is added each way, in seconds. `cut_after_next`: the next time that a script which
    writes is asked for, the server gets it and every connection is cut instead of its answer. `parted`: nothing passes
    and nobody is told, as when a network is parted; what was sent meanwhile passes afterwards."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.delay = 0.0
        self.parted = False
        self.cut_after_next = False
        self.cuts = 0
        self.marker = b"-"
        self._ending = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._later: list[tuple[float, socket.socket, bytes]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join()
        self._cut()
        self._listening.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ending:
            if self.parted:
                time.sleep(0.005)
                continue
            for key, _ in self._selector.select(0.005):
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    self._pass_on(key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            due = [entry for entry in self._later if entry[0] <= now]
            self._later = [entry for entry in self._later if entry[0] > now]
            for _, to, data in due:
                if to in self._peers:  # else one of the two has gone meanwhile
                    self._send(to, data)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        try:
            server = socket.create_connection(self._server, 2)
        except OSError:
            client.close()
            return
        self._peers[client], self._peers[server] = server, client
        self._clients.add(client)
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ, None)

    def _pass_on(self, source: socket.socket) -> None:
        to = self._peers.get(source)
        if to is None:
            return
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(source)
        elif self.cut_after_next and source in self._clients and self.marker in data:
            self._send(to, data)
            time.sleep(0.1)
            self.cut_after_next = False
            self.cuts += 1
            self._cut()
        else:
            self._later.append((time.monotonic() + self.delay, to, data))

    def _send(self, to: socket.socket, data: bytes) -> None:
        try:
            to.sendall(data)
        except OSError:
            self._drop(to)

    def _drop(self, one: socket.socket) -> None:
        other = self._peers.pop(one, None)
        for each in (one, other):
            if each is not None:
                self._peers.pop(each, None)
                self._clients.discard(each)
                self._selector.unregister(each)
                each.close()

    def _cut(self) -> None:
        for one in list(self._peers):
            if one in self._peers:
                self._drop(one)
