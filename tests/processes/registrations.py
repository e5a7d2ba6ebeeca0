"""Many registrations at once, and what a table knows of them: for tests of what outlives what."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from proxy_process import STOP_SECS, Siphond, running, until
from udp_agent import Address, Message, unique

from shm.marks import Marks
from shm.table import Table
from siphon.engine.journal import read_status
from siphon.services.location import AddressRecord
from siphon.services.location.index import OWNER as HINTS

OPEN_REGISTRAR = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.loose_route() and request.relay()
    elif request.method == "REGISTER":
        request.fix_nated_register()
        registrar.save(request)
    elif request.ruri.user:
        contacts = registrar.lookup(request.ruri)
        if contacts:
            request.record_route()
            request.fork(contacts)
        else:
            request.reply(404, "Not Found")
    else:
        request.reply(200, "OK")
"""


def register_request(user: str, contact: str, at: Address, *, cseq: int = 1, extra: tuple[str, ...] = ()) -> bytes:
    """A REGISTER of `user` with this Contact value, from a phone at that address."""
    ip, port = at
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP {ip}:{port};branch={unique('z9hG4bK')};rport",
        f"From: <sip:{user}@example.com>;tag={unique('f')}",
        f"To: <sip:{user}@example.com>",
        f"Call-ID: reg-{user}",
        f"CSeq: {cseq} REGISTER",
        "Max-Forwards: 70",
        f"Contact: {contact}",
        *extra,
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def register_all(proxy: Siphond, requests: list[bytes], window: int = 64) -> None:
    """Send them, at most `window` without an answer; all must get 200. What is lost is sent again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(0.5)
        todo = {Message.parse(data, ("", 0))["via"].split("branch=")[1].split(";")[0]: data for data in requests}
        deadline = time.monotonic() + 60
        while todo:
            assert time.monotonic() < deadline, f"{len(todo)} of {len(requests)} are not registered"
            under_way = dict(list(todo.items())[:window])
            for data in under_way.values():
                phone.sendto(data, proxy.address)
            while under_way:
                try:
                    answer = Message.parse(phone.recv(65535), ("", 0))
                except TimeoutError:
                    break
                branch = answer["via"].split("branch=")[1].split(";")[0]
                assert answer.status == 200, answer.raw
                under_way.pop(branch, None)
                todo.pop(branch, None)


def bindings_in(proxy: Siphond) -> dict[str, AddressRecord]:
    """Every address of record of the table, decoded."""
    table = Table.view(proxy.shared / "location")
    found, cursor = {}, 0
    while True:
        keys, cursor = table.keys(10000, cursor)
        for key in keys:
            head, got = table.head(key), table.get(key)
            if isinstance(got, tuple) and not isinstance(head, int) and head is not None and head.owner != HINTS:
                record = AddressRecord.from_bytes(got[1])
                found[record.aor] = record
        if not cursor:
            return found


def journal_of(proxy: Siphond) -> Path:
    return proxy.directory / "state" / "location-test.journal"


def waits_for_journal(proxy: Siphond, seconds: float = 60) -> None:
    """Until every change is in the journal, and none is being written anew."""
    table = Table.view(proxy.shared / "location")
    marks = Marks(table)
    until(lambda: marks.waiting() == 0 and journal_of(proxy).exists(), seconds, "the journal")


def processes(proxy: Siphond) -> list[int]:
    """The supervisor, then its children."""
    assert proxy.process is not None
    pid = proxy.process.pid
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def kill_everything(proxy: Siphond) -> None:
    """kill -9 of the supervisor and all others, at once."""
    assert proxy.process is not None
    pids = processes(proxy)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    proxy.process.wait(STOP_SECS)
    until(lambda: not running(pids), 30, "the end of all processes")


def wipe(proxy: Siphond) -> None:
    """What a reboot does to /dev/shm."""
    for path in proxy.shared.iterdir():
        path.unlink()


def journal_facts(proxy: Siphond) -> dict[str, object]:
    return read_status(proxy.shared)
