"""Temporary folders for rows that wait, and the deletion of those that killed runs left behind.

A folder is locked as long as its process lives: the kernel gives the lock back, however the process ends. So a folder
that can be locked is nobody's. Where the file system has no locks, nothing is deleted but one's own.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matomo_fn.errors import DiskFull

_PREFIX = "matomo_fn_rows_"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder and delete it afterwards; before, delete those of runs that were killed.

    Raises DiskFull where none can be created.
    """
    try:
        _delete_left_behind(Path(tempfile.gettempdir()))
        folder, lock = _locked_folder()
    except OSError as error:  # also where no folder that is looked at can be written to
        reason = "its disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror or error)
        raise DiskFull(
            f"no temporary folder can be created ({reason}): free some of its disk, or name another one in TMPDIR"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    """Return a new folder and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Another run may take it for one that was left behind, in the moment before it is locked.
        try:
            lock = _open(folder)
        except FileNotFoundError:
            continue
        try:
            if _try_lock(lock) and folder.exists():
                return folder, lock
        except OSError as error:
            if not _has_no_locks(error):
                os.close(lock)
                raise
            return folder, lock
        os.close(lock)


def _delete_left_behind(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = _open(folder)
        except OSError:
            continue  # it is gone, or somebody else's
        try:
            if os.fstat(lock).st_uid == os.getuid() and _try_lock(lock):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            if not _has_no_locks(error):
                raise
        finally:
            os.close(lock)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _try_lock(descriptor: int) -> bool:
    """Return whether nobody has the lock; it is kept until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_no_locks(error: OSError) -> bool:
    return error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
