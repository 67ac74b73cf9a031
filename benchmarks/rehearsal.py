"""A whole study of a model of Pythia-2.8B's shape with random weights, timed: `make rehearsal TOKENIZER=FOLDER`.

`rote study --rehearse` runs as a command of its own, as a user would run it; its time, its most resident memory and the
seconds of every experiment go into docs/rehearsal.json, from which docs/benchmarks.md takes them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.environments import ROOT, environment
from benchmarks.page import write_page
from benchmarks.peak import machine
from benchmarks.random_model import SHAPES, write
from benchmarks.state import write as write_json

HERE, RESULTS = Path(__file__).parent, Path("docs/rehearsal.json")
BENCHMARKS = Path("docs/benchmarks.json")


def main() -> int:
    """Build the model where it is not there, study it, keep what was measured, write the page again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with a tokenizer.json")
    parser.add_argument("--shape", choices=SHAPES, default="pythia-2.8b")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--facts", type=Path, default=HERE / "rehearsal_facts.csv")
    parser.add_argument("--settings", type=Path, default=HERE / "rehearsal.json")
    parser.add_argument("--controls", help="as of rote study; default: the whole line-up")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    given = parser.parse_args()
    model = given.folder / "models" / f"{given.shape}-{given.dtype}"
    if not (model / "config.json").exists():
        write(given.shape, model, given.tokenizer, getattr(torch, given.dtype), device=given.device)
    run = given.folder / "rehearsals" / f"{given.shape}-{given.dtype}-{given.device}"
    gpu = given.device != "cpu"
    begin = time.perf_counter()
    with watched(given.device) if gpu else nullcontext() as card:
        command, threads = _command(given, model, run), torch.get_num_threads()
        ended = subprocess.run(command, cwd=ROOT, env=environment(threads, gpu=gpu))
    seconds = time.perf_counter() - begin
    if ended.returncode:
        return ended.returncode
    found = {**_measured(run), "seconds": round(seconds, 1), "model": given.shape, "dtype": given.dtype}
    found |= {"device": given.device, "settings": json.loads(given.settings.read_text(encoding="utf-8"))}
    found |= {
        "facts": len(pd.read_csv(given.facts)),
        "controls": given.controls,
        "machine": machine(torch.get_num_threads()),
    }
    found |= {} if card is None else {"card": torch.cuda.get_device_name(given.device), "card_bytes": max(card)}
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, {**kept, f"{given.shape} {given.dtype} {given.device}": found})
    if BENCHMARKS.exists():
        write_page(json.loads(BENCHMARKS.read_text(encoding="utf-8")), BENCHMARKS.with_suffix(".md"))
    print(f"{seconds / 60:.1f} minutes, at most {found['peak_bytes'] / 2**30:.1f} GiB; wrote {RESULTS}")
    return 0


@contextmanager
def watched(device: str) -> Iterator[list[int]]:
    """Bytes in use on a card, by everyone, looked at ten times a second until the end."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            free, total = torch.cuda.mem_get_info(device)
            seen.append(total - free)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _command(given: argparse.Namespace, model: Path, run: Path) -> list[str]:
    command = [str(Path(sys.executable).parent / "rote"), "study", str(model), "--facts", str(given.facts)]
    command += ["--dtype", given.dtype, "--device", given.device, "--rehearse", "--settings", str(given.settings)]
    command += ["--out", str(run), "--fresh", "--yes"]
    return command if given.controls is None else [*command, "--controls", given.controls]


def _measured(run: Path) -> dict[str, Any]:
    """Seconds by experiment and the most memory of the command, from the run folder and the kernel."""
    timings = pd.DataFrame(json.loads((run / "timings.json").read_text(encoding="utf-8")))
    grouped = timings.groupby("experiment", sort=False)["seconds"]
    swap = [line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("SwapTotal")]
    return {
        "experiments": {str(name): round(float(total), 2) for name, total in grouped.sum().items()},
        "shards": {str(name): int(n) for name, n in grouped.size().items()},
        "peak_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        "swap_bytes": int(swap[0]) * 1024 if swap else 0,
    }


if __name__ == "__main__":
    sys.exit(main())
