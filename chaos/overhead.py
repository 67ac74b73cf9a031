"""`python -m chaos.overhead`: what records, observations, fingerprints, lock and log take of the demo.

Time: the wall-clock seconds inside the calls below, outermost ones only, beside those of the whole study. Memory: by
how much the process's peak (VmHWM) rose inside them, beside the peak at the end: what they needed beyond what the
measurements need anyway.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rote
from rote.experiments import EXPERIMENTS
from rote.experiments.tabulator import Tabulator, _Kept
from rote.lineup import CONTROLS
from rote.model.load import hush, weights_hash
from rote.organisms import BUNDLED
from rote.organisms.demo import demo_facts
from rote.pipeline import identity as provenance
from rote.pipeline import worker as work
from rote.records import RunFolder, RunLog
from rote.records.log import story

CALLS: tuple[tuple[Any, str], ...] = (
    (work, "describe"),
    *((RunFolder, name) for name in ("done", "write", "read", "assemble", "add_timing", "write_derived", "close")),
    (RunLog, "__enter__"),
    (RunLog, "__exit__"),
    (story, "info"),
    (Tabulator, "_keep"),  # the values behind means: their part of the records is in RunFolder.write
    (_Kept, "observations"),
)
MOST = 0.03


class Meter:
    """Seconds and bytes of peak memory inside the wrapped calls; a call within a call counts once."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._depth = 0

    def wrap(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            if self._depth:
                return call(*args, **kwargs)
            self._depth += 1
            peak, begin = peak_bytes(), time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self._depth -= 1
                self.seconds[name] += time.perf_counter() - begin
                self.bytes[name] += peak_bytes() - peak

        return measured


def peak_bytes() -> int:
    """The largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(line.split()[1])


def main() -> int:
    """0 where both stay under 3 % of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--controls", action="store_true", help="with the line-up (ten minutes)")
    parser.add_argument("--out", type=Path, help="keep the run here")
    asked = parser.parse_args()
    hush()
    model, table, meter = rote.load_model(BUNDLED), demo_facts(), Meter()
    for owner, name in CALLS:
        setattr(owner, name, meter.wrap(getattr(owner, name), f"{getattr(owner, '__name__', 'log')}.{name}"))
    opened = RunFolder.open.__func__  # type: ignore[attr-defined]
    RunFolder.open = classmethod(meter.wrap(opened, "RunFolder.open"))  # type: ignore[method-assign, assignment]
    controls = CONTROLS if asked.controls else ()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary) / "run"
        begin = time.perf_counter()
        rote.study(model, table, folder=folder, relation="sport", experiments=EXPERIMENTS, controls=controls)
        whole = time.perf_counter() - begin
        _say_bytes(folder)
    spent, needed = sum(meter.seconds.values()), sum(meter.bytes.values())
    for name, seconds in meter.seconds.most_common():
        print(f"{name:28s} {seconds:8.3f} s {meter.bytes[name] / 2**20:8.1f} MiB")
    print(f"{'together':28s} {spent:8.3f} s {needed / 2**20:8.1f} MiB")
    print(f"{'the whole study':28s} {whole:8.3f} s {peak_bytes() / 2**20:8.1f} MiB")
    print(f"{'share':28s} {spent / whole:8.2%} {needed / peak_bytes():10.2%}")
    _say_hashing(model)
    return int(spent > MOST * whole or needed > MOST * peak_bytes())


def _say_bytes(folder: Path) -> None:
    """What observations take of the records on disk."""
    run = rote.open_run(folder).records
    shards = sum(path.stat().st_size for path in folder.glob("records/*/shards/*.shard"))
    kept = [o for name in run.summary["experiment"].unique() for _, r in run.recorded(name) for o in r.observations]
    size = sum(o.values.nbytes for o in kept)
    facts = max((len(o.entities) for o in kept), default=0)
    print(
        f"observations: {sum(len(o.keys) for o in kept):,} means of at most {facts} facts, {size / 1e6:.1f} MB of the "
        f"records' {shards / 1e6:.1f} MB"
    )


def _say_hashing(model: rote.Model) -> None:
    """The one cost that grows with the model: each byte of its weights is hashed once per command."""
    begin = time.perf_counter()
    weights_hash(model)
    seconds = time.perf_counter() - begin
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.module.parameters())
    print(f"weights are hashed at {size / seconds / 1e9:.2f} GB/s ({size / 1e6:.1f} MB in {seconds:.3f} s)")
    begin = time.perf_counter()
    provenance.source_hash()
    print(f"rote's own source in {time.perf_counter() - begin:.3f} s")


if __name__ == "__main__":
    sys.exit(main())
