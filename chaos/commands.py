"""The whole command `rote study`, killed from outside at random moments, and run again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chaos import world
from chaos.kills import Tally

_TOOK = re.compile(r" INFO +(\S.*) took [0-9.]+ s$", re.MULTILINE)


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """`rote` in a process of its own."""
    command = [sys.executable, "-c", "from rote.cli.main import main; main()", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def timed(arguments: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run the command undisturbed: seconds until its folder has a study, and from then to the end."""
    begin = time.monotonic()
    process = start(arguments)
    while not (folder / "study.json").exists() and process.poll() is None:
        time.sleep(0.01)
    begun = time.monotonic()
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    return begun - begin, time.monotonic() - begun


def kill_once(arguments: Sequence[str], folder: Path, delay: float, *, from_study: bool) -> float:
    """SIGKILL the command `delay` seconds after its start, or after its folder has a study; the seconds it lived."""
    begin = time.monotonic()
    process = start(arguments)
    while from_study and not (folder / "study.json").exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.communicate()
    return time.monotonic() - begin


def check(arguments: Sequence[str], folder: Path, expected: dict[str, bytes]) -> Tally:
    """Run the killed command again, to its end."""
    tally = Tally(kills=1)
    process = start(arguments)
    errors = process.communicate()[1]
    if process.returncode != 0:
        tally.problems.append(f"did not resume, exit {process.returncode}: {errors}")
        return tally
    found = world.tables(folder)
    if found != expected:
        differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        tally.problems.append(f"differs in {', '.join(differ)}")
    tally.problems += [f"left behind: {name}" for name in world.leftovers(folder)]
    took = Counter(_TOOK.findall((folder / "log.txt").read_text(encoding="utf-8")))
    tally.n_again[sum(n - 1 for n in took.values())] += 1
    return tally
