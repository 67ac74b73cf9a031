"""`python docs/memorisation.py MEMORISATION CAPACITY`: write docs/memorisation.md and its figures from two runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker

mpl.use("Agg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "rote", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})

import matplotlib.pyplot as plt  # noqa: E402 (the backend is chosen first)

from rote.page.document import Document, Lead, Table  # noqa: E402
from rote.page.view import Measured, View  # noqa: E402
from rote.pipeline.run import open_run  # noqa: E402
from rote.report.assemble import build_document  # noqa: E402
from rote.report.load import load_view  # noqa: E402

HERE = Path(__file__).parent
COLOURS = ("#1f5fa8", "#c2571a", "#2a7f62", "#7a4ea3")
TASKS = ("memorisation", "checkerboard", "modular_addition", "untrained")
WORDS = ("by rote", "checkerboard", "modular\naddition", "untrained")
_PLAIN = ("layers", "classes", "embedding", "steps_times")
PICTURES = ("random_colours", "checkerboard_3", "checkerboard_with_exceptions", "two_correlated_facts")

HEAD = """# Memorisation in the pure, and how much fits

<!-- Written by docs/memorisation.py from the tables of two runs, whose settings stand at the end. -->

Post 4 of the *Fact Finding* study argues that pure memorisation leaves nothing to interpret inside a network, from
toys that were never published. Post 1 says that the number of facts can grow superlinearly with the number of neurons.
`rote toy memorisation` and `rote toy capacity` measure both. What each statistic means stands in
[experiments.md](experiments.md#memorisation).
"""

COUNTING = """A bit stored is a bit that the answers tell of random classes: n · (log₂ K − H(a) − (1 − a) · log₂(K − 1))
for n facts of K classes of which the share a is right, counted only where a ≥ 99 %. Parameters are all weights and
biases that were trained: those of the MLPs, and of the embeddings where these are trained. Integers get frozen
random vectors in the grid, so that the MLPs alone can hold the facts; the table counts the frozen vectors as well, for
those who would. Two bits are what language models store (Allen-Zhu and Li, *Physics of Language Models: Part 3.3*,
2024), with a thousand exposures of every fact; a single linear threshold with N inputs holds at most two random bits
for each of them (Cover 1965).

The same question is asked of whole transformers in [organism_capacity.md](organism_capacity.md).

By hand: neuron j answers for the second integer j. Its input weights from a one-hot first integer are the column
T[·, j] of a table of −1, 0 and 1; the second integer's vector is a point on a circle, and one gate of two weights per
neuron silences every neuron but its own. So each of the N² table weights holds one fact of three classes, log₂ 3 ≈ 1.58
bits, beside 6N + 3 parameters of machinery (`src/rote/toys/capacity/by_hand.py`).
"""


def main(memorisation: str, capacity: str) -> None:
    views = [load_view(open_run(folder).records) for folder in (memorisation, capacity)]
    documents = [build_document(view) for view in views]
    figures = HERE / "figures"
    figures.mkdir(exist_ok=True)
    _save(_growth(views[1]), figures / "capacity.svg")
    _save(_inside(views[0]), figures / "memorisation.svg")
    _save(_bagging(views[0]), figures / "bagging.svg")
    _save(_pictures(views[0]), figures / "pictures.png")
    parts = [
        HEAD,
        "## Pure memorisation\n",
        _lead(documents[0].leads[0]),
        "![Accuracy of probes per task](figures/memorisation.svg)\n",
        _table(documents[0], "memorisation", "Networks in which"),
        _table(documents[0], "memorisation", "XOR told better"),
        _table(documents[0], "memorisation", "Probes on unseen"),
        "### Are their insides sparse?\n",
        _table(documents[0], "memorisation", "Sparsity"),
        "### What the networks know\n",
        _table(documents[0], "memorisation", "Accuracy"),
        _table(documents[0], "memorisation", "Bits stored"),
        "### Are neurons like weak classifiers?\n",
        "![Accuracy of random subsets of neurons](figures/bagging.svg)\n",
        _table(documents[0], "bagging", "Votes"),
        "### The four pictures\n",
        "Points to be learned, and what one hidden layer of 8 or 64 neurons makes of the plane; every column another "
        "network; two correlated facts are two rows.\n".replace("8 or 64", _widths(views[0])),
        "![The four pictures](figures/pictures.png)\n",
        _picture_table(views[0]),
        "## Capacity\n",
        _lead(documents[1].leads[0]),
        "![Facts against neurons, d_model and parameters](figures/capacity.svg)\n",
        _table(documents[1], "capacity", "Exponents: "),
        _table(documents[1], "capacity", "Exponents of facts stored between"),
        _table(documents[1], "capacity", "Facts stored"),
        _table(documents[1], "capacity", "The construction"),
        "### How bits and parameters are counted\n",
        COUNTING,
        "## How it was run\n",
        *(_how(view, memorisation if i == 0 else capacity) for i, view in enumerate(views)),
    ]
    (HERE / "memorisation.md").write_text("\n".join(parts), encoding="utf-8")


def _lead(lead: Lead) -> str:
    return "\n\n".join([f"**{lead.headline}**", *lead.sentences]) + "\n"


def _table(document: Document, section: str, begins: str) -> str:
    (blocks,) = (s.blocks for s in document.sections if s.name == section)
    table = next(b for b in blocks if isinstance(b, Table) and b.caption.startswith(begins))
    lines = [
        "| " + " | ".join(c.title for c in table.columns) + " |",
        "|" + "|".join("---:" if c.numeric else "---" for c in table.columns) + "|",
        *("| " + " | ".join(row) + " |" for row in table.rows),
    ]
    return f"{table.caption}:\n\n" + "\n".join(lines) + "\n"


def _picture_table(view: View) -> str:
    """How many of the points the networks of either width give right, and where two facts agree."""
    lines = ["| picture | neurons | points given right | of the plane, where two facts agree |", "|---|---:|---:|---:|"]
    for row in (r for name in PICTURES for r in view.rows("memorisation", "accuracy_seen", condition=name)):
        agree = view.one("memorisation", "facts_agree", condition=row.condition, parameters=row.parameters)
        words = str(row.condition).replace("_", " ")
        lines.append(f"| {words} | {row.parameters['neurons']} | {row.number} | {agree.number if agree else '–'} |")
    return "\n".join(lines) + "\n"


def _how(view: View, folder: str) -> str:
    seconds = sum(t["seconds"] for t in open_run(folder).records.timings)
    versions, settings = view.study["versions"], view.study["settings"]
    return (
        f"- `{view.study['toy']}`: seed {settings['seed']}, {seconds / 60:.1f} minutes of work on one thread, rote "
        f"{versions['rote']}, torch {versions['torch']}; settings: "
        + ", ".join(f"{name} {_plain(value)}" for name, value in settings.items() if name != "seed")
        + ".\n"
    )


def _plain(value: Any) -> str:
    return " and ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _widths(view: View) -> str:
    return " or ".join(str(width) for width in view.study["settings"]["picture_widths"])


def _save(figure: Any, path: Path) -> None:
    more = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 80}
    figure.savefig(path, **more)
    plt.close(figure)


def _growth(view: View) -> Any:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3.1))
    rows = view.rows("capacity", "facts_stored", condition="trained")
    first = rows[0].parameters
    grid = [r for r in rows if all(r.parameters[n] == first[n] for n in _PLAIN)]
    for axes, x, line in ((left, "neurons", "d_model"), (middle, "d_model", "neurons")):
        for i, value in enumerate(sorted({r.parameters[line] for r in grid})):
            chosen = sorted((r for r in grid if r.parameters[line] == value), key=lambda r: int(r.parameters[x]))
            _errors(axes, [float(r.parameters[x]) for r in chosen], chosen, f"{line} {value}", COLOURS[i % 4])
        axes.set_xscale("log")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
        axes.set(xlabel=x, ylabel="facts stored")
        axes.legend(fontsize=7, frameon=False)
        ticks = sorted({int(r.parameters[x]) for r in grid})
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.minorticks_off()
    stored = {tuple(sorted(r.parameters.items())): r.value for r in rows}
    bits = view.rows("capacity", "bits_per_parameter", condition="trained", source="trained")
    _errors(right, [stored[tuple(sorted(r.parameters.items()))] for r in bits], bits, "trained", COLOURS[0], line="")
    hand = view.rows("capacity", "bits_per_parameter", condition="by_hand", source="mlp")
    right.plot(
        [r.parameters["integers"] ** 2 for r in hand],
        [r.value for r in hand],
        "D--",
        color=COLOURS[3],
        label="by hand",
        ms=4,
    )
    for value in (2.0, 1.585):
        right.axhline(value, color="#9ca3af", ls=":", lw=1)
    right.set(xscale="log", ylim=(0, None), xlabel="facts stored", ylabel="bits per trained parameter")
    right.legend(fontsize=7, frameon=False)
    return figure


def _errors(axes: Any, x: Sequence[float], rows: Sequence[Measured], label: str, colour: str, line: str = "-") -> None:
    low, high = (
        [abs((getattr(r, end) if getattr(r, end) is not None else r.value) - r.value) for r in rows]
        for end in ("low", "high")
    )
    axes.errorbar(x, [r.value for r in rows], yerr=[low, high], fmt="o" + line, color=colour, label=label, ms=4, lw=1.2)


def _first(view: View, experiment: str, statistic: str, **where: Any) -> list[Measured]:
    s = view.study["settings"]
    first = {"neurons": s["neurons"][0], "layers": s["layers"][0], "embedding": s["embeddings"][0]}
    first["activation"] = s["activations"][0]
    rows = view.rows(experiment, statistic, **where)
    return [r for r in rows if {k: v for k, v in r.parameters.items() if k != "share"} == first]


def _inside(view: View) -> Any:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.1))
    probes = (
        ("integer_probe_accuracy", "an integer"),
        ("bit_probe_accuracy", "the bit"),
        ("xor_probe_accuracy", "the XOR"),
    )
    for i, (statistic, words) in enumerate(probes):
        rows = [_first(view, "memorisation", statistic, condition=t, source=None)[-1] for t in TASKS]
        null = [_first(view, "memorisation", statistic, condition=t, source="permuted")[-1] for t in TASKS]
        places = [k + (i - 1) * 0.22 for k in range(len(TASKS))]
        _errors(left, places, rows, words, COLOURS[i], line="")
        left.plot(places, [r.value for r in null], "_", color=COLOURS[i], ms=10, label=None)
    left.set(
        xticks=range(len(TASKS)), xticklabels=WORDS, ylim=(0, 1.03), ylabel="accuracy on unseen pairs (dash: permuted)"
    )
    left.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    sparsity = ("kurtosis_activations", "kurtosis_weights")
    for i, statistic in enumerate(sparsity):
        rows = [_first(view, "memorisation", statistic, condition=t)[-1] for t in TASKS]
        _errors(
            right, [k + (i - 0.5) * 0.2 for k in range(4)], rows, statistic.replace("_", " of "), COLOURS[i], line=""
        )
    right.axhline(0, color="#9ca3af", ls=":", lw=1)
    right.set(xticks=range(len(TASKS)), xticklabels=WORDS, ylabel="excess kurtosis")
    right.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _bagging(view: View) -> Any:
    figure, all_axes = plt.subplots(1, 3, figsize=(9.5, 2.9), sharey=True)
    for axes, task, words in zip(all_axes, TASKS, WORDS, strict=False):
        for i, (source, label) in enumerate(((None, "its neurons"), ("independent", "as strong, independent"))):
            rows = _first(view, "bagging", "subset_accuracy", condition=task, source=source)
            _errors(axes, [float(r.parameters["share"]) for r in rows], rows, label, COLOURS[i])
        axes.set(title=words.replace("\n", " "), xlabel="share of the neurons", ylim=(0.5, 1.02))
    all_axes[0].set_ylabel("accuracy on seen facts")
    all_axes[0].legend(fontsize=7, frameon=False)
    return figure


def _pictures(view: View) -> Any:
    maps, points = view.table("memorisation", "maps"), view.table("memorisation", "points")
    assert maps is not None and points is not None
    shades = mpl.colors.LinearSegmentedColormap.from_list("two", ["#f4c95d", "#f8f8f6", "#1f5fa8"])
    panels = {
        (name, fact): list(places.groupby(["width", "network"]))
        for name in PICTURES
        for fact, places in maps[maps["picture"] == name].groupby("fact")
    }
    columns = max(map(len, panels.values()))
    figure, all_axes = plt.subplots(len(panels), columns, figsize=(1.6 * columns, 1.6 * len(panels)))
    for i, (row, ((name, fact), drawn)) in enumerate(zip(all_axes, panels.items(), strict=True)):
        on = points[(points["picture"] == name) & (points["fact"] == fact)]
        for axes, ((width, _), places) in zip(row, drawn, strict=True):
            side = places["y"].nunique()
            values = places.sort_values(["y", "x"])["probability"].to_numpy().reshape(side, side)
            axes.imshow(values, origin="lower", extent=(-1, 1, -1, 1), cmap=shades, vmin=0, vmax=1)
            axes.scatter(
                on["x"], on["y"], c=on["colour"], cmap=shades, vmin=0, vmax=1, s=6, edgecolors="#1f2937", lw=0.5
            )
            axes.set(xticks=[], yticks=[], title=f"{width} neurons" if i == 0 else "")
        title = (
            name.replace("checkerboard_3", "3 × 3 checkerboard")
            .replace("_with_", "\nwith ")
            .replace("_", " ")
            .replace(" facts", f"\nfacts: {fact + 1}")
        )
        row[0].set_ylabel(title, fontsize=8)
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
