"""How this program was called, for the commands that it prints to be pasted."""

import shlex
import shutil
import sys
from pathlib import Path


def own_command() -> str:
    """Return what calls this program again from the same folder: ``matomo-fn``, or the path that it was called by."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return f"{shlex.quote(shown(Path(sys.executable)))} -m matomo_fn"
    found = shutil.which(script.name)
    if found and Path(found).resolve() == script.resolve():
        return shlex.quote(script.name)
    return shlex.quote(shown(script))


def shown(path: Path) -> str:
    """Return a path as it can be pasted: relative where it lies below the folder that the user is in."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
