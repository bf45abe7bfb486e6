"""Pack what is deployed into one archive, ``dist/matomo-fn-VERSION.zip``, and print its path.

The same files as Terraform ships: both read ``terraform/bundle.json``. The same sources give the same bytes,
whatever the clock, the file system's order and the files' dates.

Run it by ``make bundle``. It needs nothing but the standard library.
"""

from __future__ import annotations

import json
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = Path("terraform/bundle.json")
# The first moment that a zip can name.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16


def files(root: Path = ROOT) -> list[str]:
    """The paths that are deployed, relative to the project's folder, in order."""
    patterns = json.loads((root / LIST).read_text(encoding="utf-8"))
    return sorted(_matching(root, patterns["include"]) - _matching(root, patterns["exclude"]))


def _matching(root: Path, patterns: list[str]) -> set[str]:
    return {path.relative_to(root).as_posix() for pattern in patterns for path in root.glob(pattern) if path.is_file()}


def archive(root: Path = ROOT) -> Path:
    """Where the archive of this version lies."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return root / "dist" / f"{project['name']}-{project['version']}.zip"


def write(target: Path, root: Path = ROOT) -> None:
    """Write the archive."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as bundle:
        for name in files(root):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, also where it is packed elsewhere
            entry.external_attr = _READABLE
            bundle.writestr(entry, (root / name).read_bytes(), compresslevel=9)


def main() -> int:
    """Write the archive and print its path."""
    target = archive()
    write(target)
    print(f"{len(files())} files, {target.stat().st_size:,} bytes", file=sys.stderr)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
