"""`python -m calibration observe|certify|parts`: see `make calibration` and `make calibration-parts`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from calibration.certify import certify
from calibration.page import write_page
from calibration.parts import table
from calibration.run import run, unusual, usual


def main() -> None:
    """Parse the command line and run one of the stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["observe", "certify", "parts"])
    parser.add_argument("--worlds", type=Path, default=Path("runs/calibration/worlds.jsonl"))
    parser.add_argument("--n-worlds", type=int, default=100, help="of every truth, about")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=80.0)
    given = parser.parse_args()
    if given.stage == "observe":
        run(given.worlds, usual(given.n_worlds), processes=given.processes, minutes=given.minutes)
    elif given.stage == "parts":
        run(given.worlds, unusual(given.n_worlds), processes=given.processes, minutes=given.minutes)
        print(table(given.worlds))
    else:
        write_page(certify(given.worlds))


if __name__ == "__main__":
    main()
