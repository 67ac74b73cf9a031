"""One virtual environment per peer, made once below `.peers/` with pinned versions, since the peers' pins conflict.

torch comes first and is held there: a peer that would replace it is refused by pip, and its failure is shown.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.tools import Entry

TORCH = "torch==2.13.0"
ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".peers"


class NotInstalled(Exception):
    """An environment could not be made; the message is the end of pip's."""


def python_of(entry: Entry) -> Path:
    """The interpreter in which a tool runs: this one where it needs no environment of its own."""
    return Path(sys.executable) if entry.requirements is None else PEERS / entry.name / "bin" / "python"


def install(entry: Entry) -> None:
    """Make a peer's environment, unless the one that is there was made from the same requirements."""
    if entry.requirements is None:
        return
    requirements = Path(__file__).parent / entry.requirements
    digest = hashlib.sha256(requirements.read_bytes() + TORCH.encode()).hexdigest()
    folder, done = PEERS / entry.name, PEERS / entry.name / ".installed"
    if done.exists() and done.read_text(encoding="ascii") == digest:
        return
    print(f"installing {entry.title} into {folder.relative_to(ROOT)}", flush=True)
    PEERS.mkdir(exist_ok=True)
    constraint = PEERS / "torch.txt"
    constraint.write_text(TORCH + "\n", encoding="ascii")
    _call(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = [str(python_of(entry)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _call(*pip, TORCH)
    _call(*pip, "--constraint", str(constraint), "--requirement", str(requirements))
    done.write_text(digest, encoding="ascii")


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(" ".join((done.stderr or done.stdout).split())[-600:])


def environment(threads: int, *, gpu: bool = False) -> dict[str, str]:
    """The variables under which every tool runs alike: threads, no network, freed memory kept in the process.

    gpu: whether it may see one.
    """
    count, unseen = str(threads), {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_MODE": "disabled",
        "TQDM_DISABLE": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
        "MALLOC_TOP_PAD_": str(64 << 20),
        **unseen,
    }
