"""`python -m chaos`: kill a small study at every boundary and the whole command at random; prints the counts."""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from chaos import commands, kills, world
from chaos.kills import Tally
from rote.model.load import hush
from rote.statistics import rng

N_COMMANDS = 20
LEAST_KILLS = 200


def main() -> int:
    """0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=2, help="processes that kill side by side")
    parser.add_argument("--every", type=int, default=1, help="only every n-th boundary")
    parser.add_argument("--commands", type=int, default=N_COMMANDS, help="SIGKILLs of the whole command")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop killing at boundaries after these")
    asked = parser.parse_args()
    hush()
    logging.getLogger("rote").addHandler(logging.NullHandler())  # each run's own log has it
    torch.set_num_threads(1)  # a forked process has no other threads; and studies compare under one batch plan
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rote-chaos-") as place:
        folder = Path(place)
        until = begin + 60 * asked.minutes
        wrong = at_boundaries(folder, asked.lanes, asked.every, until)
        wrong += of_commands(folder, asked.lanes, asked.commands)
    spent = os.times()
    processor = spent.user + spent.system + spent.children_user + spent.children_system
    print(f"{time.monotonic() - begin:.0f} s, of which {processor:.0f} s of one core's time")
    for problem in wrong:
        print(f"WRONG: {problem}")
    return 1 if wrong else 0


def at_boundaries(folder: Path, lanes: int, every: int, until: float) -> list[str]:
    world.model(), world.facts()  # prepared once, shared by all forks
    ended, expected = kills.undisturbed(folder / "undisturbed")
    n_shards, n = len(set(ended.finished)), len(ended.calls)
    print(f"undisturbed: {n_shards} shards, {len(expected)} tables, {n} boundaries", flush=True)
    chosen = rng(0, "chaos", "boundaries").permutation(range(0, n, every)).tolist()  # any part of them is a fair one
    tally = in_lanes([
        lambda lane=lane: kills.kill_at(chosen[lane::lanes], folder, expected, until) for lane in range(lanes)
    ])  # fmt: skip
    all_of = "" if tally.kills == len(chosen) else f" of {len(chosen)}, then the time was up"
    print(f"killed at a boundary and resumed: {tally.kills}{all_of} ({_counted(tally.calls)})")
    print(f"  kills after which none or one shard was computed twice: {_counted(tally.n_again)}", flush=True)
    few = every == 1 and until == float("inf") and tally.kills < LEAST_KILLS
    return (
        tally.problems + ([f"{tally.kills} kills, at least {LEAST_KILLS} are promised"] if few else []) + _lost(tally)
    )


def of_commands(folder: Path, lanes: int, n: int) -> list[str]:
    """Three of four moments lie within the study, the others anywhere in the command."""
    if not n:
        return []
    reference = folder / "command"
    before, within = commands.timed(world.command(reference, folder), reference)
    expected = world.tables(reference)
    draws = rng(0, "chaos", "commands").uniform(size=n)

    def lane(number: int) -> Tally:
        tally = Tally()
        for i in range(number, n, lanes):
            where = folder / f"command-{i}"
            arguments = world.command(where, _made(folder / f"inputs-{i}"))
            delay = float(draws[i]) * (before + within if i % 4 == 0 else within)
            commands.kill_once(arguments, where, delay, from_study=i % 4 != 0)
            tally.calls["before the study" if not (where / "study.json").exists() else "within the study"] += 1
            found = commands.check(arguments, where, expected)
            found.problems = [f"command {i}, {delay:.2f} s: {problem}" for problem in found.problems]
            tally.add(found)
        return tally

    tally = in_lanes([lambda number=number: lane(number) for number in range(lanes)])
    print(f"SIGKILLs of the whole command, resumed: {tally.kills} ({_counted(tally.calls)})")
    print(f"  kills after which none or one shard was computed twice: {_counted(tally.n_again)}", flush=True)
    return tally.problems + _lost(tally)


def in_lanes(lanes: list[Callable[[], Tally]]) -> Tally:
    """Each lane in a forked process; their tallies as one."""
    pipes = []
    for lane in lanes:
        out, into = os.pipe()
        if os.fork() == 0:
            os.close(out)
            with os.fdopen(into, "wb") as told:
                pickle.dump(lane(), told)
            os._exit(0)
        os.close(into)
        pipes.append(out)
    tally = Tally()
    for out in pipes:
        with os.fdopen(out, "rb") as told:
            tally.add(pickle.load(told))
    for _ in lanes:
        os.wait()
    return tally


def _lost(tally: Tally) -> list[str]:
    more = sum(n for again, n in tally.n_again.items() if again > 1)
    return [f"{more} kills lost more than the shard in flight"] if more else []


def _counted(counter: dict[object, int]) -> str:
    return ", ".join(f"{name}: {n}" for name, n in sorted(counter.items(), key=lambda item: str(item[0])))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
