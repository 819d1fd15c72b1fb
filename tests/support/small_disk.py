"""Small disks for one test: tmpfs mounts in a mount namespace that only this thread, and what it starts, can see.

Threads and processes that were there before do not see them, and nothing of it outlives the test, however that ends.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["fill", "mount_small_disk", "own_mounts"]

_CLONE_NEWNS, _CLONE_FS = 0x00020000, 0x00000200
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_mounts() -> Iterator[None]:
    """What is mounted inside is nobody else's; skips the test where that is not allowed."""
    before, folder = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), Path.cwd()
    try:
        if _libc.unshare(_CLONE_NEWNS) != 0:
            pytest.skip("mounting a small disk needs root (CAP_SYS_ADMIN); limits on file sizes are tested without")
        try:
            _mount("--make-rprivate", "/")
            yield
        finally:
            # setns(2) wants a thread that shares its root and folder with no other.
            if _libc.unshare(_CLONE_FS) != 0 or _libc.setns(before, _CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "this thread does not find back to its mounts")
            os.chdir(folder)
    finally:
        os.close(before)


def mount_small_disk(folder: Path, megabytes: int) -> None:
    """A disk of its own at `folder`, which is made if it is not there, and keeps what is in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = list(folder.iterdir())
    aside = folder.with_name(f"{folder.name}.aside")
    aside.mkdir(mode=0o700)
    for one in content:
        one.rename(aside / one.name)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder))
    if content:
        subprocess.run(["/bin/cp", "-a", *(str(aside / one.name) for one in content), str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of `folder`; the file to delete for having it again."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


def _mount(*arguments: str) -> None:
    mounted = subprocess.run(["/bin/mount", *arguments], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk; limits on file sizes are tested without")
