"""The directories of an instance: the one with the shared tables, which one siphond holds at a time, and the one that
outlives a reboot, with the secret.

The shared directory is held by flock on its file `lock`. Workers inherit the open file, so it stays held while one of
them is left: they may still write to the tables that the next siphond would make anew. At an upgrade the open file is
handed over, so that there is no moment at which another could take it. The file tells who holds it: pid
and start time (a pid alone may be somebody else's by now), so that it can be asked without taking the lock.
"""

import errno
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from siphon.cli.exits import Exit, Refusal

LOCK = "lock"
LISTENERS = "listeners"
RELOADS = "reloads"
UPGRADES = "upgrades"
BOOT = "boot"
SECRET = "secret"
SECRET_BYTES = 32
PATIENCE_SECS = 3.0
"""How long the workers of a supervisor that has died may take to end; they need one second."""


def make_private(path: Path, key: str) -> None:
    """A directory of ours that nobody else can enter. In /dev/shm anybody may have made one of that name before."""
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=key != "shared.path", exist_ok=True)
        found = path.lstat() if key == "shared.path" else path.stat()
    except OSError as error:
        status = Exit.NO_SHARED_MEMORY if key == "shared.path" else Exit.CONFIGURATION
        raise Refusal(status, f"{key}: cannot make {error.filename or path}: {reason(error)}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise Refusal(Exit.CONFIGURATION, f"{key}: {path} is not a directory")
    if key != "shared.path":
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise Refusal(Exit.CONFIGURATION, f"{key}: {path} cannot be written to")
        return
    if is_for_others(path, found.st_mode):
        raise Refusal(Exit.CONFIGURATION, f"{key}: {path} is there for others too; name a directory of its own")
    if found.st_uid != os.geteuid():
        raise Refusal(
            Exit.CONFIGURATION, f"{key}: {path} belongs to user {found.st_uid}, not to us; remove it or name another"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)


def is_for_others(path: Path, mode: int) -> bool:
    """Whether a directory is not one that this program has made, and others may enter it: /dev/shm itself, or /etc.
    They would be locked out of it."""
    if not mode & 0o077:
        return False
    if mode & stat.S_ISVTX:
        return True
    try:
        names = os.listdir(path)
    except OSError:
        return False
    return bool(names) and LOCK not in names


@contextmanager
def what_the_system_gives() -> Iterator[None]:
    """What it refuses at the start beside memory, as open files, is a Refusal."""
    try:
        yield
    except OSError as error:
        hint = "; raise its limit (ulimit -n, LimitNOFILE)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
        raise Refusal(Exit.SYSTEM, f"cannot start: {reason(error)}{hint}") from None


def reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def hold(path: Path, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> int:
    """Takes the lock of a shared directory; the open file, which is to be kept. Refusal IN_USE where another has it."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refusal(Exit.NO_SHARED_MEMORY, f"shared.path: cannot open {path / LOCK}: {reason(error)}") from None
    deadline = now() + PATIENCE_SECS
    while not _try_lock(lock):
        pid = holder(path)
        if pid is not None or now() > deadline:
            os.close(lock)
            who = f"siphond, process {pid}" if pid is not None else "processes of a siphond that has ended"
            raise Refusal(
                Exit.IN_USE,
                f"shared.path: {path} is in use by {who}; stop it, or give this one another server.instance_id",
            )
        sleep(0.02)
    describe(lock, {})
    return lock


def describe(lock: int, facts: Mapping[str, object]) -> None:
    """Says in the lock file who holds it, and what else is to be known about the instance without asking it."""
    pid = os.getpid()
    text = json.dumps({"pid": pid, "started": start_time(pid), **facts}).encode() + b"\n"
    os.pwrite(lock, text, 0)
    os.ftruncate(lock, len(text))


def write_note(path: Path, name: str, facts: Mapping[str, object]) -> None:
    """Facts in a file of their own, whole or not at all: siphonctl waits for it to change."""
    draft = path / f".{name}"
    _write(draft, json.dumps(facts).encode() + b"\n")
    draft.rename(path / name)


def read_note(path: Path, name: str) -> dict[str, Any]:
    """What write_note() was given last; empty before."""
    try:
        found: dict[str, Any] = json.loads((path / name).read_bytes())
    except FileNotFoundError:
        return {}
    return found


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise
    return True


def release(lock: int, forget: bool = True) -> None:
    """Gives the lock back; `forget` says that nobody holds it then. Who got the open file from us, or gave it to us,
    holds it on."""
    if forget:
        with suppress(OSError):
            os.ftruncate(lock, 0)
    os.close(lock)


def holder(path: Path) -> int | None:
    """The pid of the siphond that holds a shared directory; None where it has ended. Takes no lock, writes nothing."""
    pid = description(path).get("pid")
    return pid if isinstance(pid, int) else None


def description(path: Path) -> dict[str, Any]:
    """What the siphond that holds a shared directory says of itself; empty where that has ended."""
    try:
        facts = json.loads((path / LOCK).read_bytes())
        alive = start_time(facts["pid"]) == facts["started"] != 0
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return facts if alive else {}


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 where there is none, or /proc does not show it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = text.rpartition(b")")[2].split()
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id() -> bytes:
    """16 bytes that are others after a reboot; zeros where the kernel's is hidden (a tmpfs is empty then anyway)."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def is_of_another_boot(path: Path, boot: bytes) -> bool:
    """Whether the tables in a directory were made before the last reboot, as on a disk."""
    try:
        before = (path / BOOT).read_text().strip()
    except OSError:
        return False
    return before != boot.hex()


def note_boot(path: Path, boot: bytes) -> None:
    """Once the tables are made."""
    _write(path / BOOT, boot.hex().encode() + b"\n")


def instance_secret(state: Path) -> bytes:
    """The secret that keys of hashes and signatures are made from: drawn once, kept in the state directory."""
    path = state / SECRET
    with suppress(FileNotFoundError):
        return _read_secret(path)
    text = secrets.token_hex(SECRET_BYTES) + "\n"
    draft = state / f".{SECRET}.{os.getpid()}"
    try:
        _write(draft, text.encode())
        try:
            os.link(draft, path)  # unlike a rename it never replaces one that another process has made meanwhile
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _sync_directory(state)
    except OSError as error:
        raise Refusal(Exit.CONFIGURATION, f"server.state_dir: cannot write {path}: {reason(error)}") from None
    return _read_secret(path)


def keep_secret(state: Path, secret: bytes) -> None:
    """Take the place of the one that is there: all nodes of a Redis use this one."""
    draft = state / f".{SECRET}.{os.getpid()}"
    try:
        _write(draft, secret.hex().encode() + b"\n")
        os.replace(draft, state / SECRET)
        _sync_directory(state)
    except OSError as error:
        raise Refusal(Exit.CONFIGURATION, f"server.state_dir: cannot write {draft}: {reason(error)}") from None


def _read_secret(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refusal(Exit.CONFIGURATION, f"server.state_dir: cannot read {path}: {reason(error)}") from None
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        what = (
            f"server.state_dir: {path} is damaged; remove it to get a new one (nonces and routes given out become void)"
        )
        raise Refusal(Exit.CONFIGURATION, what)
    return secret


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
