"""One folder for everything temporary of a command and its processes, gone with the command, however that ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Removes the folder when its standard input closes, which a killed command's does as well. What the command started is killed at
# the same time and may write a last file: therefore several times.
_REMOVE = """
read -r _
for pause in 0.1 0.4 1.5; do
  chmod -R u+rwX -- "$1" 2>/dev/null; rm -rf --one-file-system -- "$1" 2>/dev/null; sleep "$pause"; [ -e "$1" ] || exit 0
done
"""
_VARIABLE = "TMPDIR"
_LONGEST = 48  # characters of its parent: the sockets of multiprocess lie below, and the kernel takes 107
before: str | None = os.environ.get(_VARIABLE)
"""TMPDIR as the user has set it: what another machine is to use."""


@contextmanager
def own_folder() -> Iterator[None]:
    """While the block runs TMPDIR, and `tempfile`'s folder, are a new folder inside it; it is removed afterwards, also by SIGKILL."""
    short = len(tempfile.gettempdir()) <= _LONGEST or not os.access("/tmp", os.W_OK)
    folder = tempfile.mkdtemp(prefix="magicoder-", dir=None if short else "/tmp")
    command = ["/bin/sh", "-c", _REMOVE, "sh", folder]
    nowhere = subprocess.DEVNULL
    previous = os.environ.get(_VARIABLE)
    try:
        with subprocess.Popen(  # of its own session: Ctrl-C is not for it
            command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True, cwd="/"
        ) as remover:
            os.environ[_VARIABLE], tempfile.tempdir = folder, None
            yield
            shutil.rmtree(folder, ignore_errors=True)
            if not Path(folder).exists():
                remover.kill()
    finally:
        if previous is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = previous
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)
