"""Files that are written whole, and are still there after a power cut."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["flush", "flush_folder", "replacement"]


@contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """Yield a sibling to be written; then `target` is that, until then what it was."""
    sibling = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield sibling
        sibling.replace(target)
    finally:
        sibling.unlink(missing_ok=True)


def flush(handle: int) -> None:
    """Flush a file to the medium; on Apple systems `os.fsync` stops at the drive's own cache."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - not on Windows

        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fsync(handle)


def flush_folder(folder: Path) -> None:
    """Make a rename durable. Windows does it with the rename, and cannot open folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        flush(handle)
    finally:
        os.close(handle)
