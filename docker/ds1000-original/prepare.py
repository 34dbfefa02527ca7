"""`python prepare.py PREFIX`: seaborn's example tables go into PREFIX/share (`docker/example_tables.py`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import example_tables


def main() -> None:
    """Fills PREFIX/share."""
    prefix = Path(sys.argv[1]).resolve()
    example_tables.finish(prefix, example_tables.put(prefix), "seaborn/NAME.csv")


if __name__ == "__main__":
    main()
