"""Find a Chromium for the browser tests, or take one from npm, and print its path.

One in PATH is used as it is. Otherwise the headless shell that the npm package ``@sparticuz/chromium`` carries is
unpacked into the cache folder of ``tools/go_programs.py``, once: 68 MB to load, 200 MB on disk, and no root is needed.
Its version and its bytes are pinned. npm comes with the Node.js that unpacks it.

Run it by ``make programs``. It needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import ctypes.util
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools.go_programs import cache, say

PACKAGE = "@sparticuz/chromium@147.0.0"
# What `npm view @sparticuz/chromium@147.0.0 dist.integrity` says.
INTEGRITY = "sha512-4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ=="
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell")
# What to do where there is none and none can be had.
COMMAND = "sudo apt-get install chromium"
_PROGRAM = "chromium"
# Brotli is in no standard library of Python, and in Node's own.
_UNPACK = "const [f, t] = process.argv.slice(1); fs.writeFileSync(t, zlib.brotliDecompressSync(fs.readFileSync(f)))"


class NoBrowserError(Exception):
    """There is no browser; the message has the command that installs one."""


def unpacked() -> Path:
    """The folder that the package's browser is unpacked into, or would be."""
    return cache() / f"chromium-{hashlib.sha256(f'{PACKAGE} {INTEGRITY}'.encode()).hexdigest()[:16]}"


def path() -> Path | None:
    """The browser to run: of PATH, or what was unpacked; None where there is neither."""
    for name in INSTALLED:
        if found := shutil.which(name):
            return Path(found)
    program = unpacked() / _PROGRAM
    return program if program.exists() else None


def environment() -> dict[str, str]:
    """The environment that it runs in: with the package's own libraries where the machine has none (NSS)."""
    if ctypes.util.find_library("nss3") is not None:
        return dict(os.environ)
    libraries = f"{unpacked() / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    return os.environ | {"LD_LIBRARY_PATH": libraries}


def ensure() -> Path:
    """The browser's path, after it was taken from npm where there was none; raise NoBrowserError where that fails."""
    found = path()
    if found is not None:
        return found
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or shutil.which("npm") is None:
        raise NoBrowserError(
            f"there is no {' or '.join(INSTALLED[:3])} in PATH, and npm has one for Linux on x86_64 only: {COMMAND}"
        )
    target = unpacked()
    target.parent.mkdir(parents=True, exist_ok=True)
    # One at a time: a second caller waits for the first one's instead of doing the work again.
    with (target.parent / "browser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            try:
                _install(target)
            except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
                raise NoBrowserError(f"{PACKAGE} could not be installed ({error}): {COMMAND}") from None
    return target / _PROGRAM


def _install(target: Path) -> None:
    """Unpack the package beside the target, then rename: a half-written browser is never seen."""
    say(f"there is no browser for the tests in PATH: installing {PACKAGE} into {target} (once)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="browser-") as name:
        folder = Path(name)
        subprocess.run(["npm", "pack", "--silent", PACKAGE], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        (archive,) = folder.glob("*.tgz")
        _refuse_other_bytes(archive)
        with tarfile.open(archive) as package:
            package.extractall(folder, filter="data")
        made, packed = folder / "made", folder / "package" / "bin"
        made.mkdir()
        _decompress(packed / "chromium.br", made / _PROGRAM)
        (made / _PROGRAM).chmod(0o755)
        _decompress(packed / "al2023.tar.br", folder / "libraries.tar")
        with tarfile.open(folder / "libraries.tar") as libraries:
            libraries.extractall(made, filter="data")
        made.rename(target)


def _refuse_other_bytes(archive: Path) -> None:
    found = f"sha512-{base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()}"
    if found != INTEGRITY:
        raise NoBrowserError(f"npm gave other bytes for {PACKAGE} than those that are pinned: {found}. {COMMAND}")


def _decompress(source: Path, target: Path) -> None:
    subprocess.run(["node", "-e", _UNPACK, source, target], check=True)


def main() -> int:
    """Print the browser's path, after it was installed where there was none."""
    try:
        print(ensure(), flush=True)
    except NoBrowserError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
