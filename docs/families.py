"""`python docs/families.py`: fill the tables of docs/models.md from the code, between their markers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import markers

from rote.model.families import FAMILIES, REFUSED, Family, _always, _never

PAGE = Path(__file__).parent / "models.md"
FUSED = {"separate": "q, k, v apart", "concatenated": "qkv in one matrix", "interleaved": "qkv in one matrix, by head"}


def served() -> str:
    """Every description: how its blocks are wired, where its norms are, and what else acts on what is computed."""
    lines = ["| model_type | blocks | norms | attention | MLP | besides |", "|---|---|---|---|---|---|"]
    for f in sorted(FAMILIES, key=lambda family: family.model_type):
        cells = (f"`{f.model_type}`", _blocks(f), _norms(f), FUSED[f.fused], _mlp(f), _besides(f))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _blocks(f: Family) -> str:
    return {_always: "parallel", _never: "sequential"}.get(f.parallel, "as the configuration says")


def _norms(f: Family) -> str:
    where = ["one for both"] if f.shared_norm else ["before"] if f.attention_norm else []
    where += ["behind"] if f.attention_out_norm else []
    return " and ".join(where)


def _mlp(f: Family) -> str:
    if f.experts:
        return "mixture of experts"
    return "gated, in one matrix" if f.fused_gate else "gated" if f.gated else "plain"


def _besides(f: Family) -> str:
    notes = {
        "learned positions": not f.rotary,
        "norm weights stored less one": f.norm_offset != 0,
        "norms without weights": f.norm_eps is not None,
        "contributions are multiplied": f.residual_scale is not None,
        "values are clipped": f.clip is not None,
        "logits are scaled": f.logits_times is not None or f.logits_over is not None,
        "rows and positions are one dimension in the MLP": f.flat_mlp,
        "only the text tower": "language_model" in f.blocks,
    }
    return "; ".join(note for note, true in notes.items() if true)


def refused() -> str:
    """Every family that is refused by name, with the reason."""
    lines = ["| model_type | why not |", "|---|---|"]
    for reason, names in groupby(REFUSED, key=REFUSED.__getitem__):
        lines.append(f"| {', '.join(f'`{name}`' for name in names)} | {reason} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"served": served, "refused": refused}


def filled(text: str) -> str:
    """The page with its tables made anew; ValueError where a marker is missing."""
    return markers.filled(text, TABLES, "code")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
