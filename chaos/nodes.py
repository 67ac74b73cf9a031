"""`python -m chaos.nodes`: a small study on three one-CPU nodes of Ray, five of which are killed in the middle of work.

The nodes are processes of this machine with object stores as small as Ray allows; each that is killed is replaced by
a new one. The tables have to be those of the study in this process, byte for byte; prints the counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import rote
from chaos.world import SETTINGS, experiments, facts, model, tables
from rote.execute import Event, Finished, Lost, OnEvent
from rote.execute.abstract import ignore
from rote.lineup import CONTROLS
from rote.model import ModelSpec
from rote.model.load import hush
from rote.organisms import BUNDLED
from rote.results import Run
from rote.statistics import rng

N_NODES, N_KILLS = 3, 5
STORE_BYTES = 80 * 2**20
AT_WORK = "ray::_Actor.work"  # Ray names a worker's process after the call that it is at
LINEUP = tuple(control for control in CONTROLS if not control.trained_by_steps)


def study(folder: Path, executor: rote.Ray | None = None, on_event: OnEvent = ignore) -> Run:
    """The small study of `chaos.world` with a longer line-up, on workers or here."""
    return rote.study(
        model() if executor is None else ModelSpec(source=str(BUNDLED)),
        facts(),
        folder=folder,
        settings=SETTINGS,
        experiments=experiments(),
        controls=LINEUP,
        executor=executor,
        on_event=on_event,
    )


@dataclass
class Nodes:
    """A cluster whose head holds no worker, and the nodes that do; listens to the study and kills."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)
    killed: int = 0
    finished_since: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def start(cls) -> Nodes:
        from ray.cluster_utils import Cluster

        quick = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES, "_system_config": quick}
        started = cls(Cluster(initialize_head=True, head_node_args=head))
        for _ in range(N_NODES):
            started.add()
        return started

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(wait=False, num_cpus=1, object_store_memory=STORE_BYTES))

    def __call__(self, event: Event) -> None:
        """Between two shards of one worker the others are at theirs: then a node of one of those dies."""
        if isinstance(event, Lost):
            self.counts["setup" if event.shard is None else "shard"] += 1
            say(f"lost {event.shard or 'a setup'}: {event.reason[:100]}")
        elif isinstance(event, Finished):
            self.counts["finished"] += 1
            self.finished_since += 1
            if self.killed < N_KILLS and self.finished_since > 1:
                self.kill_one()

    def kill_one(self) -> None:
        """Kill a node whose worker is at a shard, if there is one, and put a new one in its place."""
        busy = [node for node in self.nodes if AT_WORK in titles(node)]
        if not busy:
            return
        node = busy[int(rng(0, "chaos", self.killed).integers(len(busy)))]
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)
        self.killed, self.finished_since = self.killed + 1, 0
        say(f"killed node {self.killed} of {N_KILLS}, at work on a shard")
        self.add()


def titles(node: Any) -> list[str]:
    """What the processes of a node call themselves."""
    (raylet,) = [process.process.pid for process in node.all_processes["raylet"]]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                title = (entry / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").strip()
            except (OSError, IndexError):  # it has ended meanwhile
                continue
            found += [title] * (parent == raylet)
    return found


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGIN:6.0f} s  {text}", flush=True)


BEGIN = time.monotonic()


def main() -> int:
    """0 where the tables are the same and every kill was survived."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    hush()
    torch.set_num_threads(1)  # as many as a worker with one CPU has
    with tempfile.TemporaryDirectory(prefix="rote-chaos-ray-") as place:
        here, there = Path(place, "here"), Path(place, "there")
        study(here)
        say("studied in this process")
        counts, killed = on_nodes(there)
        expected, found = tables(here), tables(there)
    different = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    print(
        f"{killed} nodes killed; {counts['shard']} shards and {counts['setup']} setups lost and done again; "
        f"{counts['finished']} shards finished\n"
        f"{len(expected)} tables, {sum(map(len, expected.values())):,} bytes, {len(different)} of them different"
        f"{': ' + ', '.join(different) if different else ''}"
    )
    return int(bool(different) or killed < N_KILLS or counts["shard"] == 0)


def on_nodes(folder: Path) -> tuple[Counter[str], int]:
    """The study on nodes that die; what was lost and finished, and the number of kills."""
    import ray

    nodes = Nodes.start()
    say(f"{N_NODES} nodes of one CPU, {STORE_BYTES // 2**20} MiB of objects each")
    try:
        study(folder, rote.Ray(address=nodes.cluster.address, workers=N_NODES, retries=N_KILLS), nodes)
    finally:
        ray.shutdown()
        nodes.cluster.shutdown()
    return nodes.counts, nodes.killed


if __name__ == "__main__":
    sys.exit(main())
