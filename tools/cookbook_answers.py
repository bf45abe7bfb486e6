"""Write the first rows of each answer into docs/cookbook.md and docs/ga4.md, from the sample Matomo's data.

Run it by ``make docs``. The sample's visits follow from its seed, so it writes the same each time.
"""

import tempfile
from pathlib import Path

from tests.support import cookbook


def main() -> None:
    """Sync, ask, and write the documents."""
    with tempfile.TemporaryDirectory() as folder, cookbook.synced(Path(folder)) as sample:
        for document in (cookbook.DOCUMENT, cookbook.GA4_DOCUMENT):
            text = document.read_text(encoding="utf-8")
            document.write_text(cookbook.with_answers(text, sample), encoding="utf-8")


if __name__ == "__main__":
    main()
