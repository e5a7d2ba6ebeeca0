"""Files of shared memory: private to us, whole or not there, all their pages allocated.

Raises PermissionError when another user could have put the file there or could change it, NoSpace when the file system
is too small.
"""

import contextlib
import os
import stat

from shm.values import NoSpace


def private_directory(path: str) -> None:
    """Make the file's directory, mode 0700, or see that nobody else can write to it."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    facts = os.stat(folder)
    shared = facts.st_mode & 0o022 and not facts.st_mode & stat.S_ISVTX
    if facts.st_uid not in (os.geteuid(), 0) or shared:
        raise PermissionError(f"{folder}: shared memory must lie in a directory that no other user can write to")


def open_private(path: str, flags: int) -> int:
    """A descriptor of our own file: no symbolic link, no other user's, no access for others."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        os.close(fd)
        raise PermissionError(f"{path}: not a file of our own with mode 0600")
    return fd


def open_draft(path: str) -> tuple[int, str]:
    """A new file under another name: it gets the right one (os.rename) once it is whole."""
    draft = f"{path}.new"
    remove(draft)
    return open_private(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL), draft


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def allocate(fd: int, path: str, size: int) -> None:
    """All pages now: a full file system is an error here, never a SIGBUS later."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        room = os.fstatvfs(fd)
        free = room.f_bavail * room.f_frsize
        raise NoSpace(f"{path}: {size} bytes of shared memory are needed, {free} are free") from error
