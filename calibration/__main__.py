"""`python -m calibration observe|certify`: see `make calibration`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from calibration.certify import certify
from calibration.page import write_page
from calibration.run import run


def main() -> None:
    """Parse the command line and run one of the two stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["observe", "certify"])
    parser.add_argument("--worlds", type=Path, default=Path("runs/calibration/worlds.jsonl"))
    parser.add_argument("--n-worlds", type=int, default=100, help="of every truth, about")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=80.0)
    given = parser.parse_args()
    if given.stage == "observe":
        run(given.worlds, given.n_worlds, processes=given.processes, minutes=given.minutes)
    else:
        write_page(certify(given.worlds))


if __name__ == "__main__":
    main()
