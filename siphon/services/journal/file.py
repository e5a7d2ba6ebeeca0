"""One journal on the disk: opened and cut, appended to, replaced by a new one.

    JournalFile.open     an existing one, its torn tail cut off
    Draft                a new one under another name; publish() makes it the journal in one step, once it is whole

What may go wrong is an OSError, or Unusable: something lies there that is not ours to read or to replace. Only `Disk`
touches the file system, so that tests can end the process, or let it fail, at each call. A held flock says that a
process writes to a journal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from siphon.services.journal.frames import FIRST, BadHead, Head, OtherFormat, head_of
from siphon.services.journal.reading import last_end


class Unusable(Exception):
    """What lies at the journal's path must stay as it is: no file, another user's, in use. The text says which."""


class Foreign(Exception):
    """A file of ours that is no journal for us: of another format or instance, or without a sound head."""


class Disk:
    """The calls of the operating system that journals make. All raise OSError."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)

    def lock(self, fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def read(self, fd: int, at: int, length: int) -> bytes:
        return os.pread(fd, length, at)

    def write(self, fd: int, data: bytes, at: int) -> int:
        return os.pwrite(fd, data, at)

    def cut(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def free(self, path: Path) -> int:
        facts = os.statvfs(path)
        return facts.f_bavail * facts.f_frsize

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def sync_directory(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)


DISK = Disk()


class JournalFile:
    """An open journal. `end` is the end of its last whole frame; `is_whole` is False when what lies behind it could not
    be cut off, or when the disk may have lost what was written: then it is not written to any more."""

    def __init__(self, path: Path, fd: int, head: Head, end: int, disk: Disk) -> None:
        self.path = path
        self.fd = fd
        self.head = head
        self.end = end
        self.synced = end
        self.is_whole = True
        self._disk = disk

    @classmethod
    def open(cls, path: Path, instance: str, disk: Disk = DISK) -> JournalFile:
        """For reading, and for appending after cut(). FileNotFoundError, other OSErrors, Unusable, Foreign."""
        fd = _open_own(path, disk)
        try:
            head = _head_of(disk.read(fd, 0, FIRST), instance)
            size = os.fstat(fd).st_size
            return cls(path, fd, head, size, disk)
        except BaseException:
            disk.close(fd)
            raise

    def is_at(self, path: Path) -> bool:
        """Whether this is the file of that name."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.lstat(path))
        except OSError:
            return False

    def cut(self) -> int:
        """Cut off what follows the last whole frame: how many bytes that was."""
        size = self.end
        self.end = self.synced = last_end(self.read, size, self.head)
        if size > self.end:
            self._disk.cut(self.fd, self.end)
        return size - self.end

    def read(self, at: int, length: int) -> bytes:
        return self._disk.read(self.fd, at, length)

    def append(self, frames: bytes) -> None:
        """All of it, or nothing and an OSError."""
        try:
            write_all(self._disk, self.fd, frames, self.end)
        except OSError:
            self._take_back()
            raise
        self.end += len(frames)

    def _take_back(self) -> None:
        """A half-written frame must not stand before what is written next."""
        try:
            self._disk.cut(self.fd, self.end)
        except OSError:
            self.is_whole = False

    def sync(self) -> None:
        """Blocks. After an error what was written may be lost, whatever a later sync says."""
        end = self.end
        try:
            self._disk.sync(self.fd)
        except OSError:
            self.is_whole = False
            raise
        self.synced = end

    def close(self) -> None:
        self._disk.close(self.fd)


class Draft:
    """The journal to come. Whoever is killed before publish() leaves a file that nobody reads."""

    def __init__(self, path: Path, head: Head, former: JournalFile | None = None, disk: Disk = DISK) -> None:
        """`former` is the open journal that it is to replace. Unusable where something lies there that must stay."""
        self.path = path
        self.published = False
        self._former = former
        self._draft = draft_of(path)
        self._disk = disk
        self._require_free()
        with suppress(FileNotFoundError):
            disk.remove(self._draft)
        fd = disk.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.file = JournalFile(path, fd, head, 0, disk)
        try:
            disk.lock(fd)
            self.file.append(head.to_bytes())
        except BaseException:
            self.discard()
            raise

    def publish(self) -> None:
        """Blocks: it is on the disk, then it has the journal's name, then the name is on the disk. From the second on
        it is `published`, whatever comes out."""
        self.file.sync()
        self._require_free()
        self._disk.rename(self._draft, self.path)
        self.published = True
        self._disk.sync_directory(self.path.parent)

    def _require_free(self) -> None:
        """What has the journal's name is the former one, or a file that we may replace."""
        if self._former is not None and self._former.is_at(self.path):
            return
        with suppress(FileNotFoundError):
            self._disk.close(_open_own(self.path, self._disk))

    def discard(self) -> None:
        with suppress(OSError):
            self._disk.remove(self._draft)
        with suppress(OSError):
            self.file.close()


def draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def set_aside(path: Path, disk: Disk = DISK) -> Path:
    """Give a foreign journal another name, in place of the last one that was set aside."""
    aside = path.with_name(f"{path.name}.aside")
    disk.rename(path, aside)
    return aside


def forget(path: Path, disk: Disk = DISK) -> None:
    """Remove the journal, if there is one, and what was begun of a new one."""
    for name in (path, draft_of(path)):
        with suppress(FileNotFoundError):
            disk.remove(name)
    with suppress(FileNotFoundError):
        disk.sync_directory(path.parent)


def write_all(disk: Disk, fd: int, data: bytes, at: int) -> None:
    """The kernel may take less than it is given, and says why when it is given the rest."""
    view = memoryview(data)
    while view:
        written = disk.write(fd, view, at)  # type: ignore[arg-type]
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view, at = view[written:], at + written


def _open_own(path: Path, disk: Disk) -> int:
    """A locked descriptor of a regular file of ours."""
    try:
        fd = disk.open(path, os.O_RDWR)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise Unusable("it is no file") from None
        raise
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise Unusable("it is no file")
        if facts.st_uid != os.geteuid():
            raise Unusable(f"it belongs to user {facts.st_uid}, not to us")
        _lock(fd, disk)
    except BaseException:
        disk.close(fd)
        raise
    return fd


def _lock(fd: int, disk: Disk) -> None:
    try:
        disk.lock(fd)
    except BlockingIOError:
        raise Unusable("another siphond writes to it") from None


def _head_of(data: bytes, instance: str) -> Head:
    try:
        head = head_of(data)
    except (BadHead, OtherFormat) as error:
        raise Foreign(str(error)) from None
    if head.instance != instance:
        raise Foreign(f"it is of the instance {head.instance}")
    return head
