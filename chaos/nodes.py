"""`python -m chaos.nodes`: a small study on three one-CPU nodes of Ray, five of which are killed in the middle of work.

The nodes are processes of this machine with object stores as small as Ray allows; each that is killed is replaced by
a new one. The tables have to be those of the study in this process, byte for byte; prints the counts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
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
from rote.pipeline.run import Run
from rote.statistics import rng

N_NODES, N_KILLS, N_BETWEEN = 3, 5, 8  # shards between two kills: what is killed is not always the same
STORE_BYTES = 80 * 2**20
AT_WORK = "ray::_Actor.work"  # Ray names a worker's process after the call that it is at
LONGER = replace(SETTINGS, n_members=6, n_bootstrap=200, n_member_bootstrap=200, n_refine_steps=40)
LINEUP = tuple(control for control in CONTROLS if not control.trained_by_steps)


def study(folder: Path, executor: rote.Ray | None = None, on_event: OnEvent = ignore) -> Run:
    """The small study of `chaos.world` with a longer line-up, on workers or here."""
    return rote.study(
        model() if executor is None else ModelSpec(source=str(BUNDLED)),
        facts(),
        folder=folder,
        settings=LONGER,
        experiments=experiments(),
        controls=LINEUP,
        executor=executor,
        on_event=on_event,
    )


@dataclass
class Nodes:
    """A cluster whose head holds no worker, and the nodes that do.

    A thread kills; new nodes are started where the study's events arrive: Ray starts them in the main thread only.
    """

    cluster: Any
    nodes: list[Any] = field(default_factory=list)
    killed: int = 0
    since: int = 0  # shards finished after the last kill
    counts: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(cls) -> Nodes:
        from ray.cluster_utils import Cluster

        quick = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES, "_system_config": quick}
        started = cls(Cluster(initialize_head=True, head_node_args=head))
        started.fill()
        return started

    def fill(self) -> None:
        while len(self.nodes) < N_NODES:
            self.nodes.append(self.cluster.add_node(wait=False, num_cpus=1, object_store_memory=STORE_BYTES))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Lost):
            self.counts["setup" if event.shard is None else "shard"] += 1
            say(f"lost {event.shard or 'a setup'}: {event.reason[:100]}")
        self.counts["finished"] += isinstance(event, Finished)
        self.since += isinstance(event, Finished)
        self.fill()

    def kill_some(self) -> None:
        """Kill a node whose worker is at a shard; when it is replaced and some shards are done, the next."""
        generator = rng(0, "chaos", "nodes")
        while self.killed < N_KILLS and not self.ended.wait(0.02):
            busy = [node for node in self.nodes if AT_WORK in children(node).values()]
            if len(self.nodes) == N_NODES and self.since >= N_BETWEEN and busy:
                self.since = 0
                node = busy[int(generator.integers(len(busy)))]
                self.nodes.remove(node)
                self.kill(node)

    def kill(self, node: Any) -> None:
        """All its processes at once, as when its power is cut."""
        processes = children(node)
        os.kill(raylet(node), signal.SIGSTOP)  # so that it starts nothing and sends no farewell
        for process in (*processes, raylet(node)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.cluster.remove_node(node, allow_graceful=False)
        self.killed += 1
        say(f"killed node {self.killed} of {N_KILLS}, at {', '.join(t for t in processes.values() if 'Actor' in t)}")


def raylet(node: Any) -> int:
    (process,) = node.all_processes["raylet"]
    return int(process.process.pid)


def children(node: Any) -> dict[int, str]:
    """The processes of a node, and what they call themselves."""
    parent, found = raylet(node), {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                of = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except (OSError, IndexError):  # it has ended meanwhile
                continue
            if of == parent:
                found[int(entry.name)] = title
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
    killer = threading.Thread(target=nodes.kill_some, daemon=True)
    try:
        killer.start()
        study(folder, rote.Ray(address=nodes.cluster.address, workers=N_NODES, retries=N_KILLS), nodes)
    finally:
        nodes.ended.set()
        killer.join(60)
        ray.shutdown()
        nodes.cluster.shutdown()
    return nodes.counts, nodes.killed


if __name__ == "__main__":
    sys.exit(main())
