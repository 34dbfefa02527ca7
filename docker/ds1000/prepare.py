"""`python prepare.py PREFIX`: the example tables of seaborn and scikit-learn go into PREFIX/share. Where they come from:
`docker/example_tables.py`, and scikit-learn/cal_housing.tgz under MAGICODER_DATA."""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import _california_housing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import example_tables


def main() -> None:
    """Fills PREFIX/share."""
    prefix = Path(sys.argv[1]).resolve()
    missing = example_tables.put(prefix)
    archive = example_tables.data() / "scikit-learn" / "cal_housing.tgz"
    if archive.is_file():
        _california_housing.ARCHIVE = _california_housing.ARCHIVE._replace(url=archive.as_uri())
    try:
        _california_housing.fetch_california_housing(data_home=prefix / "share" / "scikit-learn")
    except OSError as error:
        missing.append(f"California housing ({error})")
    example_tables.finish(prefix, missing, "seaborn/NAME.csv, scikit-learn/cal_housing.tgz")


if __name__ == "__main__":
    main()
