"""Reads files that a person names, and writes ours whole or not at all.

A name in a profile can be anything: a named pipe would block for ever, a device has no end. Only
regular files of bounded size are read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 1 << 20


class Text(NamedTuple):
    """What a file holds, and its permission bits when it was read."""

    text: str
    mode: int


def read(path: Path) -> Text:
    """The file's text (UTF-8).

    Raises OSError whose `strerror` says why not, also for what is no regular file, is longer than
    1 MiB, or is not text: nothing of the content is quoted.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except ValueError as error:  # a null byte
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"this is {_kind(mode)}, not a file", str(path))
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(data) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"longer than {MAX_BYTES} bytes", str(path))
    try:
        return Text(data.decode(), stat.S_IMODE(mode))
    except UnicodeDecodeError:
        pass  # raised below without it as the cause: it holds the content
    raise OSError(errno.EILSEQ, "this is not text (UTF-8)", str(path))


def _kind(mode: int) -> str:
    names = {stat.S_ISDIR: "a directory", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((name for test, name in names.items() if test(mode)), "a device")


def write_private(path: Path, data: bytes) -> None:
    """The file with these bytes, mode 0600, whole or as it was before (a full disk, a kill)."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    new.replace(path)
