"""`python -m benchmarks`: see `make bench`."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.page import write_page
from benchmarks.run import ALONE, FULL, QUICK, Bench, identity
from benchmarks.state import State
from benchmarks.state import write as write_json
from benchmarks.tools import TOOLS, entry_named


def main() -> None:
    """Measure what has not been measured, then write the page from all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--quick", action="store_true", help="pythia-70m only, few repetitions, under 5 minutes")
    kind.add_argument("--tiny", action="store_true", help="a tiny model, one thread: whether everything runs")
    parser.add_argument("--minutes", type=float, help="in all; default 56, quick 4.5")
    parser.add_argument("--tools", help="comma-separated; default all")
    parser.add_argument("--fresh", action="store_true", help="forget what has been measured")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="models, measurements, logs")
    parser.add_argument("--page", type=Path, help="default docs/benchmarks.md; quick and tiny runs: in the folder")
    given = parser.parse_args()
    name, plan = ("quick", QUICK) if given.quick else ("tiny", ALONE) if given.tiny else ("full", FULL)
    plan = plan if given.minutes is None else replace(plan, minutes=given.minutes)
    tools = TOOLS if given.tools is None else tuple(entry_named(tool) for tool in given.tools.split(","))
    state_path, page = given.folder / f"{name}.json", given.page or Path("docs/benchmarks.md")
    if given.page is None and name != "full":
        page = given.folder / f"{name}.md"
    if given.fresh:
        state_path.unlink(missing_ok=True)
    state = State(state_path, identity(replace(plan, minutes=0.0)))
    ends = time.monotonic() + 60 * plan.minutes
    try:
        Bench(plan=plan, tools=tools, folder=given.folder, state=state, ends=ends).go()
    finally:
        if state.get("peak") is not None:
            write_json(page.with_suffix(".json"), state.data)
            write_page(state.data, page)
            print(f"wrote {page} and {page.with_suffix('.json')}", flush=True)


if __name__ == "__main__":
    main()
