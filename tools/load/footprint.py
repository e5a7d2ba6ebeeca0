"""What a running siphond takes: memory of all its processes, descriptors, records and blocks of its tables.

Memory is the kernel's PSS of anonymous pages: a page that several processes have since the fork counts once. Pages of
the tables are left out, since these files have their whole size from the start, and so are pages of programs and
libraries, which are shared with whoever else runs them. The whole PSS is read too, for looking at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from proxy_process import Siphond, command_line

from shm.table import Table
from siphon.cli.status import TABLES


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory in kB. `records` and `blocks` by table; a block that a process keeps at hand is not in use."""

    processes: int
    memory: int
    pss: int
    descriptors: int
    sockets: int
    records: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)

    def row(self) -> dict[str, int]:
        """One line of a table, tables by name."""
        found = {"processes": self.processes, "memory_kb": self.memory, "pss_kb": self.pss}
        found |= {"descriptors": self.descriptors, "sockets": self.sockets}
        found |= {f"records_{name}": number for name, number in self.records.items()}
        return found | {f"blocks_{name}": number for name, number in self.blocks.items()}


def processes_of(siphond: Siphond) -> dict[int, str]:
    """Pid and title of the supervisor and its children."""
    assert siphond.process is not None
    supervisor = siphond.process.pid
    found = {}
    for pid in (supervisor, *children_of(supervisor)):
        title = command_line(pid).rstrip(b"\0").decode(errors="replace")
        if title:
            found[pid] = title.removeprefix("siphond: ")
    return found


def children_of(pid: int) -> Iterator[int]:
    yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def measured(siphond: Siphond) -> Footprint:
    """Now, without a lock."""
    memory = pss = descriptors = sockets = 0
    pids = processes_of(siphond)
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            facts = rollup(pid)
            memory += facts["Pss_Anon"]
            pss += facts["Pss"]
            places = list(open_files(pid))
            descriptors += len(places)
            sockets += sum(place.startswith("socket:") for place in places)
    records, blocks = {}, {}
    for name in TABLES:
        table = Table.view(siphond.shared / name)
        facts_of = table.stats()
        table.close()
        records[name] = facts_of.records
        blocks[name] = facts_of.blocks_max - facts_of.blocks_free
    return Footprint(len(pids), memory, pss, descriptors, sockets, records, blocks)


def rollup(pid: int) -> dict[str, int]:
    """kB by kind, of the whole process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def open_files(pid: int) -> Iterator[str]:
    """What its descriptors are."""
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            yield os.readlink(entry.path)


def faults(siphond: Siphond) -> list[str]:
    """Tables in which something is lost or damaged: every block is looked at, so nothing should go on meanwhile."""
    found = []
    for name in TABLES:
        table = Table.attach(siphond.shared / name)
        report = table.verify()
        table.close()
        if not report.sound:
            found.append(f"{name}: {report}")
    return found
