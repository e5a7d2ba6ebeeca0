"""How many contacts one sender of nat.keepalive asks: `python tests/processes/keepalive_load.py 20000 10`.

Registers so many addresses of record at one responder that answers everything, then prints how many OPTIONS came in
each of some seconds and what CPU time all processes of siphond took for one.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from proxy_process import Siphond

SCRIPT = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.reply(200, "OK")
"""
WINDOW = 20
SECONDS = 20


class Responder:
    """Answers each request with 200 and counts them."""

    def __init__(self) -> None:
        self.socket = bound()
        self.count = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            data, source = self.socket.recvfrom(65535)
            self.count += 1
            kept = [line for line in data.split(b"\r\n") if line[:4] in (b"Via:", b"From", b"To: ", b"Call", b"CSeq")]
            self.socket.sendto(b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]), source)


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind(("127.0.0.1", 0))
    return made


def register(proxy: Siphond, contacts: int, port: int) -> None:
    phone = bound()
    phone.settimeout(2)
    for number in range(contacts):
        user = f"<sip:u{number}@example.com>"
        lines = [
            "REGISTER sip:example.com SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{phone.getsockname()[1]};branch=z9hG4bK{number}",
            *(f"From: {user};tag=a", f"To: {user}", f"Call-ID: c{number}", "CSeq: 1 REGISTER", "Max-Forwards: 70"),
            *(f"Contact: <sip:u{number}@127.0.0.1:{port}>", "Expires: 3600", "Content-Length: 0"),
        ]
        phone.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), proxy.address)
        if number % WINDOW == WINDOW - 1:
            assert all(phone.recv(65535).startswith(b"SIP/2.0 200") for _ in range(WINDOW))


def main(contacts: int, interval: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        more = f"\n[nat.keepalive]\ninterval_secs = {interval}\n"
        proxy = Siphond(Path(directory), workers=2, script=SCRIPT, transactions=100000, more=more)
        text = proxy.configuration.read_text()
        proxy.configuration.write_text(text.replace("max_bindings = 1000", f"max_bindings = {2 * contacts}"))
        responder = Responder()
        proxy.start()
        try:
            register(proxy, contacts, responder.socket.getsockname()[1])
            began, cpu = responder.count, proxy.cpu_seconds()
            for _ in range(SECONDS):
                before = responder.count
                time.sleep(1)
                print(responder.count - before, end=" ", flush=True)
            asked = responder.count - began
            print(f"\n{asked / SECONDS:.0f} a second, {1e3 * (proxy.cpu_seconds() - cpu) / asked:.2f} ms of CPU each")
            print(*(line for line in proxy.log().splitlines() if "keepalive" in line), sep="\n")
        finally:
            proxy.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
