"""`python -m benchmarks.peak`: how fast this machine multiplies matrices in float32, at the sizes of the work."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

# rows × inner × columns: blocks of 64 prompts, of 9 prompts, of the positions after an edit; and the unembedding
SIZES = (
    (1152, 512, 1536),
    (1152, 512, 2048),
    (1152, 2048, 512),
    (1152, 768, 2304),
    (1152, 768, 3072),
    (1152, 3072, 768),
    (1152, 1024, 4096),
    (1152, 4096, 1024),
    (162, 768, 3072),
    (72, 768, 3072),
    (64, 768, 50304),
    (2048, 2048, 2048),
)
REPEATS = 7


def measure(threads: int, sizes: tuple[tuple[int, int, int], ...] = SIZES, seconds: float = 0.15) -> dict[str, Any]:
    """Operations per second of `addmm` (a linear layer with bias): the best of several runs, per size."""
    torch.set_num_threads(threads)
    generator, found = torch.Generator().manual_seed(0), []
    for rows, inner, columns in sizes:
        x = torch.randn(rows, inner, generator=generator)
        w = torch.randn(columns, inner, generator=generator)
        b = torch.randn(columns, generator=generator)
        operations = 2 * rows * inner * columns
        times = []
        with torch.no_grad():
            torch.nn.functional.linear(x, w, b)
            for _ in range(REPEATS):
                count, start = 0, time.perf_counter()
                while time.perf_counter() - start < seconds / REPEATS or not count:
                    torch.nn.functional.linear(x, w, b)
                    count += 1
                times.append((time.perf_counter() - start) / count)
        found.append({"size": [rows, inner, columns], "operations_per_second": operations / min(times)})
    best = max(entry["operations_per_second"] for entry in found)
    return {"operations_per_second": best, "sizes": found}


def machine(threads: int) -> dict[str, Any]:
    """The machine in words: processor, cores used, memory; neither its name nor its paths."""
    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_bytes": memory,
        "system": platform.system(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
    }


if __name__ == "__main__":
    count = int(os.environ.get("OMP_NUM_THREADS", "2"))
    print(json.dumps({"machine": machine(count), "peak": measure(count)}))
