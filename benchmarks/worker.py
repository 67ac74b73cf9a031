"""`python -m benchmarks.worker TOOL`: one tool in its own environment, answering requests until its input ends.

One JSON object a line comes in, one goes out. Whatever a library prints goes to standard error instead.

    {"do": "load", "folder": ...}                          → {"seconds", "resident_bytes"}
    {"do": "run", "workload", "shape", "units",
     "last_only"?, "save"?}                                → {"seconds", "peak_bytes"}; the results go to `save`
    {"do": "crosscheck", "folder", "save"}                 → {"notes"}
    {"do": "versions"}                                     → {package: version}

Times are wall-clock of the tool's method alone. An error is answered as {"error": ...}; the worker goes on.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak_bytes, reset_peak, resident_bytes
from benchmarks.shapes import shape_named
from benchmarks.tools import entry_named, make
from benchmarks.workloads import inputs, workload_named

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))


def main(name: str) -> None:
    """Serve requests for one tool."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    tool = make(name)
    for line in sys.stdin:
        try:
            reply = _answer(tool, name, json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}".strip()[:2000]}
        answers.write(json.dumps(reply) + "\n")


def _answer(tool: Any, name: str, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "versions":
        return {package: _version(package) for package in entry_named(name).packages}
    if request["do"] == "load":
        gc.collect()
        before, start = resident_bytes(), time.perf_counter()
        tool.load(Path(request["folder"]))
        return {"seconds": time.perf_counter() - start, "resident_bytes": before, "peak_bytes": peak_bytes()}
    if request["do"] == "crosscheck":
        from benchmarks.crosscheck.worker import answers

        return answers(name, Path(request["folder"]), Path(request["save"]))
    if request["do"] == "run":
        return _run(tool, request)
    raise ValueError(f"no request is called {request['do']!r}")


def _run(tool: Any, request: dict[str, Any]) -> dict[str, Any]:
    workload, shape = workload_named(request["workload"]), shape_named(request["shape"])
    arguments = inputs(workload, shape, request["units"])
    tool.last_only = bool(request.get("last_only"))
    tool.prepare(workload.name)
    gc.collect()
    reset_peak()
    start = time.perf_counter()
    results = getattr(tool, workload.name)(**arguments)
    seconds = time.perf_counter() - start
    reply = {"seconds": seconds, "peak_bytes": peak_bytes()}
    if request.get("save"):
        np.savez(request["save"], **{key: np.asarray(x) for key, x in results.items()})
    return reply


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main(sys.argv[1])
