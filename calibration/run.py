"""Observes planted worlds in parallel processes, one line of JSON each; goes on where an earlier run stopped."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from calibration.worlds import UNUSUAL, Parts, possible

# Worlds of each truth, as a share of --n-worlds: the less often its tests decide, the more it needs. What training
# finds by itself (free) is only reported.
SHARES = {"hash": 1.4, "single_step": 1.0, "parallel": 0.92, "additive": 0.88, "and_gates": 0.95, "free": 0.06}
CERTIFIED = tuple(truth for truth in SHARES if truth != "free")
N_TUNING = 10  # seeds 0 to 9 of every truth tune
# Seeds 10 to 139 were looked at while the table of predictions was corrected (decision 11): they certify nothing.
FIRST_CERTIFYING = 1000


Item = tuple[str, int, Parts]


def observe_one(truth: str, seed: int, parts: Parts = "square") -> dict[str, object]:
    """One world; what failed is part of the answer."""
    import torch

    torch.set_num_threads(1)
    from calibration.measure import observe
    from calibration.worlds import world

    begin = time.process_time()
    try:
        found = observe(world(truth, seed, parts))
    except Exception:  # a world that cannot be observed is counted, not hidden
        return {"truth": truth, "seed": seed, "parts": parts, "failed": traceback.format_exc(limit=3)}
    return {**found, "seconds": round(time.process_time() - begin, 2)}


def usual(n_worlds: int) -> list[Item]:
    """About `n_worlds` worlds of every truth (see SHARES)."""
    return [
        (truth, _seed(index), "square")
        for index in range(round(n_worlds * max(SHARES.values())))
        for truth, share in SHARES.items()
        if index < round(n_worlds * share)
    ]


def unusual(n_worlds: int) -> list[Item]:
    """`n_worlds` worlds of every truth and every unusual kind of parts, with seeds that certify nothing."""
    return [
        (truth, seed, parts)
        for seed in range(N_TUNING, N_TUNING + n_worlds)
        for parts in UNUSUAL
        for truth in CERTIFIED
        if possible(truth, parts)
    ]


def run(path: Path, items: Sequence[Item], *, processes: int, minutes: float) -> None:
    """Observe the worlds that the file does not hold yet, until `minutes` are over."""
    done = {(found["truth"], found["seed"], found.get("parts", "square")) for found in read(path)}
    wanted = [item for item in items if item not in done]
    end = time.monotonic() + 60 * minutes
    os.environ["OMP_NUM_THREADS"] = "1"
    path.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool, path.open("a", encoding="utf-8") as file:
        for start in range(0, len(wanted), 8 * processes):
            if time.monotonic() > end:
                print(f"stopped after {minutes:g} minutes; the same command goes on")
                break
            futures = [pool.submit(observe_one, *item) for item in wanted[start : start + 8 * processes]]
            for future in as_completed(futures):
                file.write(json.dumps(future.result()) + "\n")
                file.flush()
            print(f"{start + len(futures)} of {len(wanted)} worlds", flush=True)


def _seed(index: int) -> int:
    """The seed of a truth's world number `index`: tuning worlds first."""
    return index if index < N_TUNING else FIRST_CERTIFYING + index - N_TUNING


def read(path: Path) -> Iterator[dict[str, object]]:
    """The worlds observed so far."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):
                yield json.loads(line)
