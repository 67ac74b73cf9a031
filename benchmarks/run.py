"""The run: environments, models, peak, memory, growth, then the workloads in turn; every step is kept as it ends.

`python -m benchmarks [--quick]`. A run that was stopped goes on where it was; a tool that fails is shown as failed,
with its reason, and the others go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.client import Client, ToolFailed
from benchmarks.environments import ROOT, NotInstalled, environment, install
from benchmarks.peak import machine
from benchmarks.shapes import DEPTHS, Shape, build, shape_named
from benchmarks.state import State
from benchmarks.summary import TOLERANCE, agreement
from benchmarks.tools import Entry
from benchmarks.workloads import DEPTH_UNITS, WORKLOADS, Workload, units, workload_named

REFERENCE = "hooks"
MEMORY = ("capture", "neurons")  # the workloads whose peak memory is measured
MEMORY_NEURONS = 140  # full passes: 28 in each layer of the window, 9 prompts each
FACTS, NEURONS = (158, 317, 634), (70, 140, 280)  # what growth is measured over


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does: shapes with their share of the time, repetitions, the share of the units, minutes in all."""

    shapes: tuple[str, ...]
    shares: tuple[float, ...]
    repetitions: int
    units_share: float
    minutes: float
    threads: int
    growth_shape: str
    memory_shape: str


FULL = Plan(
    shapes=("pythia-70m", "pythia-160m", "pythia-410m"),
    shares=(0.2, 0.45, 1.0),  # of the time that is left when a shape begins
    repetitions=5,
    units_share=1.0,
    minutes=56.0,
    threads=2,
    growth_shape="pythia-160m",
    memory_shape="pythia-410m",
)
QUICK = Plan(
    shapes=("pythia-70m",),
    shares=(1.0,),
    repetitions=2,
    units_share=0.2,
    minutes=4.5,
    threads=2,
    growth_shape="pythia-70m",
    memory_shape="pythia-70m",
)
ALONE = Plan(
    shapes=("tiny",),
    shares=(1.0,),
    repetitions=2,
    units_share=0.02,
    minutes=3.0,
    threads=1,
    growth_shape="tiny",
    memory_shape="tiny",
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run: its plan, the tools, where models and measurements are kept, and when it must end."""

    plan: Plan
    tools: tuple[Entry, ...]
    folder: Path
    state: State
    ends: float  # time.monotonic()

    def go(self) -> None:
        """Every step in order; what has been measured already is not measured again."""
        tools = [entry for entry in self.tools if self._installed(entry)]
        for name in {*self.plan.shapes, self.plan.growth_shape, self.plan.memory_shape, *self._depths()}:
            self._say(f"model {name}")
            build(shape_named(name), self.folder / "models")
        for entry in tools:
            if all(entry.does(name) for name in MEMORY):
                self._memory(entry)
        self._growth(next(entry for entry in tools if entry.name == "rote"))
        for name, share in zip(self.plan.shapes, self.plan.shares, strict=True):
            self._shape(shape_named(name), tools, time.monotonic() + share * (self.ends - time.monotonic()))
        self.state.put(True, "complete")

    def _depths(self) -> tuple[str, ...]:
        return () if self.plan.growth_shape == "tiny" else tuple(shape.name for shape in DEPTHS)

    def _say(self, text: str) -> None:
        left = max(0.0, self.ends - time.monotonic()) / 60
        print(f"[{left:4.1f} min left] {text}", flush=True)

    # ------------------------------------------------------------------ before
    def _installed(self, entry: Entry) -> bool:
        if entry.of is not None:
            return True
        try:
            install(entry)
            if self.state.get("versions", entry.name) is None:
                with self._client(entry) as client:
                    self.state.put(client.ask({"do": "versions"}, 300), "versions", entry.name)
        except (NotInstalled, ToolFailed) as error:
            self._fail(entry, "environment", str(error))
            return False
        self.state.drop("failures", entry.name)  # what failed in an earlier part is tried again
        return True

    def _fail(self, entry: Entry, what: str, reason: str) -> None:
        self._say(f"{entry.name} failed: {what}: {reason[:200]}")
        self.state.put(reason, "failures", entry.name, what)

    def _client(self, entry: Entry) -> Client:
        return Client(entry, self.folder / f"{entry.name}.log", self.plan.threads)

    def _peak(self, *where: str) -> None:
        """At the beginning and with every shape, since machines that others use too change their rate."""
        if self.state.get("peak", *where) is None:
            self._say("the machine's peak")
            command = [sys.executable, "-m", "benchmarks.peak"]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment(self.plan.threads)
            )
            found = json.loads(done.stdout)
            self.state.put(found["machine"], "machine")
            self.state.put(found["peak"], "peak", *where)

    def _model(self, shape: Shape) -> str:
        return str(self.folder / "models" / shape.name)

    # ------------------------------------------------------------------ memory
    def _memory(self, entry: Entry) -> None:
        """In a process of its own: resident before the model is loaded, and at most while it works."""
        shape = shape_named(self.plan.memory_shape)
        if self.state.get("memory", entry.name) is not None or self._late():
            return
        self._say(f"memory of {entry.name}")
        try:
            with self._client(entry) as client:
                loaded = client.ask({"do": "load", "folder": self._model(shape)})
                found = {"before_bytes": loaded["resident_bytes"], "loading_peak_bytes": loaded["peak_bytes"]}
                for name in MEMORY:
                    workload = workload_named(name)
                    n = units(workload, shape, entry.name, self.plan.units_share)
                    n = n if name == "capture" else min(n, MEMORY_NEURONS)
                    reply = client.ask(_run(entry, workload, shape, n))
                    found |= {f"{name}_peak_bytes": reply["peak_bytes"], f"{name}_units": n}
                self.state.put({"shape": shape.name, **found}, "memory", entry.name)
        except ToolFailed as error:
            self._fail(entry, "memory", str(error))

    # ------------------------------------------------------------------ growth
    def _growth(self, entry: Entry) -> None:
        """rote alone: facts in (a), neurons in (b), layers in both."""
        shape = shape_named(self.plan.growth_shape)
        for what, amounts, workload in (("facts", FACTS, "capture"), ("neurons", NEURONS, "neurons")):
            if self.state.get("growth", what) is None and not self._late():
                self._say(f"growth with {what}")
                runs = [(shape.name, n) for n in amounts]
                self._grow(entry, what, workload, runs, list(amounts))
        for workload, n in DEPTH_UNITS.items():
            what = f"layers ({workload})"
            if self._depths() and self.state.get("growth", what) is None and not self._late():
                self._say(f"growth with {what}")
                depths = [shape.n_layers for shape in DEPTHS]
                self._grow(entry, what, workload, [(shape.name, n) for shape in DEPTHS], depths)

    def _grow(
        self, entry: Entry, what: str, workload: str, runs: Sequence[tuple[str, int]], amounts: Sequence[int]
    ) -> None:
        """Each amount three times in turn, the models held by one process each."""
        try:
            with ExitStack() as stack:
                clients = {name: stack.enter_context(self._client(entry)) for name in dict.fromkeys(n for n, _ in runs)}
                for name, client in clients.items():
                    client.ask({"do": "load", "folder": self._model(shape_named(name))})
                    client.ask({"do": "run", "workload": workload, "shape": name, "units": 16})
                seconds: list[list[float]] = [[] for _ in runs]
                for _ in range(3):
                    for times, (name, n) in zip(seconds, runs, strict=True):
                        request = {"do": "run", "workload": workload, "shape": name, "units": n}
                        times.append(clients[name].ask(request)["seconds"])
            self.state.put({"amounts": list(amounts), "seconds": seconds, "shape": runs[0][0]}, "growth", what)
        except ToolFailed as error:
            self._fail(entry, f"growth with {what}", str(error))

    # --------------------------------------------------------------- workloads
    def _shape(self, shape: Shape, tools: Sequence[Entry], until: float) -> None:
        if self._done(shape, tools):
            return
        self._peak(shape.name)
        with ExitStack() as stack:
            clients = self._loaded(stack, shape, tools)
            asked = [(w, {entry: c for entry, c in clients.items() if entry.does(w.name)}) for w in WORKLOADS]
            for workload, those in asked:
                self._check(shape, workload, those)
            for round_number in range(self.plan.repetitions):
                for workload, those in asked:
                    for turn in range(workload.turns):
                        self._round(shape, workload, those, round_number * workload.turns + turn, until)

    def _loaded(self, stack: ExitStack, shape: Shape, tools: Sequence[Entry]) -> dict[Entry, Client]:
        """A process for every tool; two ways to ask one tool share it."""
        clients: dict[str, Client] = {}
        for entry in (e for e in tools if e.of is None):
            self._say(f"{shape.name}: loading into {entry.name}")
            client = stack.enter_context(self._client(entry))
            try:
                client.ask({"do": "load", "folder": self._model(shape)})
                clients[entry.name] = client
            except ToolFailed as error:
                self._fail(entry, f"load {shape.name}", str(error))
        return {entry: clients[entry.of or entry.name] for entry in tools if (entry.of or entry.name) in clients}

    def _done(self, shape: Shape, tools: Sequence[Entry]) -> bool:
        return all(
            len(self.state.get("cells", shape.name, w.name, entry.name, "seconds") or [])
            >= self.plan.repetitions * w.turns
            or self.state.get("cells", shape.name, w.name, entry.name, "failed") is not None
            for w in WORKLOADS
            for entry in tools
            if entry.does(w.name)
        )

    def _check(self, shape: Shape, workload: Workload, clients: dict[Entry, Client]) -> None:
        """Every tool once on the same units, against raw Hugging Face; this also warms it up."""
        paths = {entry: self.folder / f"{shape.name}-{workload.name}-{entry.name}.npz" for entry in clients}
        for entry, client in clients.items():
            self._say(f"{shape.name}: checking {workload.name} of {entry.name}")
            try:
                client.ask({**_run(entry, workload, shape, workload.check_units), "save": str(paths[entry])}, 600)
            except ToolFailed as error:
                self._refuse(shape, workload, entry, str(error))
        reference = next((path for entry, path in paths.items() if entry.name == REFERENCE and path.exists()), None)
        for entry, path in paths.items():
            if path.exists() and reference is not None:
                with np.load(path) as found, np.load(reference) as expected:
                    gap = agreement(found, expected)
                self.state.put(gap, "cells", shape.name, workload.name, entry.name, "agreement")
                if not gap <= TOLERANCE:
                    reason = (
                        f"its results differ from raw Hugging Face's by {gap:.2g}; at most {TOLERANCE:g} is allowed"
                    )
                    self._refuse(shape, workload, entry, reason)
        for path in paths.values():
            path.unlink(missing_ok=True)

    def _refuse(self, shape: Shape, workload: Workload, entry: Entry, reason: str) -> None:
        self._say(f"{shape.name}: {workload.name} of {entry.name} does not count: {reason[:200]}")
        self.state.put(reason, "cells", shape.name, workload.name, entry.name, "failed")

    def _round(self, shape: Shape, workload: Workload, clients: dict[Entry, Client], number: int, until: float) -> None:
        """One repetition of every tool in turn, each round beginning with another one."""
        for entry in _turned(list(clients), number):
            cell = ("cells", shape.name, workload.name, entry.name)
            done = len(self.state.get(*cell, "seconds") or [])
            if self.state.get(*cell, "failed") is not None or done > number:
                continue
            if done and (time.monotonic() > until or self._late()):
                continue  # a first repetition is made even when time is up: a cell is never silently empty
            n = units(workload, shape, entry.name, self.plan.units_share)
            try:
                reply = clients[entry].ask(_run(entry, workload, shape, n), 600)
            except ToolFailed as error:
                self._refuse(shape, workload, entry, str(error))
                continue
            self.state.put(n, *cell, "units")
            self.state.append(reply["seconds"], *cell, "seconds")
            self._say(f"{shape.name}: {workload.name} of {entry.name}: {1e3 * reply['seconds'] / n:.3g} ms per unit")

    def _late(self) -> bool:
        return time.monotonic() > self.ends


def _run(entry: Entry, workload: Workload, shape: Shape, n: int) -> dict[str, Any]:
    """What a tool is asked for n units of a workload."""
    request = {"do": "run", "workload": workload.name, "shape": shape.name, "units": n}
    return {**request, "last_only": entry.last_only}


def _turned(entries: list[Entry], by: int) -> Iterator[Entry]:
    k = by % len(entries) if entries else 0
    return iter(entries[k:] + entries[:k])


def identity(plan: Plan) -> dict[str, Any]:
    """What has to be the same for a stopped run to go on: the plan, rote's and the benchmark's code, the machine."""
    command = ["git", "rev-parse", "HEAD:src", "HEAD:benchmarks"]
    commits = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.split()
    return {"plan": json.loads(json.dumps(asdict(plan))), "source": commits, "machine": machine(plan.threads)}
