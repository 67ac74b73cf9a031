"""Pure memorisation beside rules and untrained networks: structure found, probes, sparsity, and the four pictures."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from rote.page.document import Figure, Part, Plane
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import By, lines
from rote.page.shapes import bars, figure, pivot, table
from rote.page.view import Measured
from rote.toys.memorisation.card import CARD
from rote.toys.memorisation.lead import TASK_WORDS, first_configuration

_PROBES = {
    "integer_probe_accuracy": "an integer",
    "bit_probe_accuracy": "the bit",
    "xor_probe_accuracy": "the XOR",
}
_SPARSITY = {
    "kurtosis_activations": "kurtosis of activations",
    "kurtosis_weights": "kurtosis of weights",
    "participation_ratio": "participation ratio",
    "dictionary_l0": "dictionary atoms per neuron",
}
_ACCURACY = {"accuracy_seen": "seen pairs", "accuracy_unseen": "unseen pairs"}
_FOUND = By(of="source", words={"bit": "the bit", "xor": "the XOR", None: "either"})
_PERMUTED = By(of=lambda row: row.source == "permuted", words={False: "", True: "permuted"})
_COUNTED = By(of="source", words={"mlp": "the MLPs", "all": "MLPs and embeddings"})
_LAYER = By(of="layer", title="layer")
_PICTURES = (
    ("random_colours", "Random colours", ("",)),
    ("checkerboard_3", "A board of 3 × 3 squares", ("",)),
    ("checkerboard_with_exceptions", "The board with one exception in ten", ("",)),
    ("two_correlated_facts", "Two facts that agree for nine in ten points", ("first fact, ", "second fact, ")),
)


def _configuration(row: Measured) -> str:
    """ "1 × 64, trained, relu": layers × neurons, embeddings, activation; or that a row is over all of them."""
    p = row.parameters
    return f"{p['layers']} × {p['neurons']}, {p['embedding']}, {p['activation']}" if p else "all configurations"


CONFIGURATION = By(of=_configuration, title="layers × neurons, embeddings, activation")
TASK = By(of="condition", words=TASK_WORDS, title="learned")


def _statistic(words: Mapping[str, str]) -> By:
    return By(of="statistic", words=words)


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    caption = "Networks in which the bit or the XOR of an unseen pair can be read (on the checkerboard both are one)"
    found = sorted(here.rows("structure_found"), key=lambda r: bool(r.parameters))  # over all configurations first
    yield pivot(caption, lines(found, _FOUND), CONFIGURATION, TASK)
    titles = {None: "probe on unseen pairs", "permuted": "permuted targets"}
    yield figure(
        "What a linear probe reads off the hidden activations of pairs that were never trained on, in the first "
        "configuration, and the same for permuted targets, which is each probe's chance: for an XOR of halves below "
        "one half, since a sum fitted to seen pairs errs on the others.",
        "Accuracy per task of probes for an integer, the bit and the XOR.",
        *(
            bars(title, lines(_first(here, _PROBES, source), _statistic(_PROBES)), TASK, value="accuracy")
            for source, title in titles.items()
        ),
    )
    yield table("XOR told better than before training", here.rows("xor_gain"), CONFIGURATION, TASK, _LAYER)
    probes = lines(here.rows(*_PROBES), _statistic(_PROBES), _PERMUTED)
    yield pivot("Probes on unseen pairs, and for permuted targets", probes, CONFIGURATION, TASK, _LAYER)
    yield figure(
        "How sparse the last hidden layer is, in the first configuration: heavy tails, dimensions used, atoms of a "
        "dictionary. Untrained networks are the null, networks that learned a rule the comparison.",
        "Four statistics per task.",
        *(
            bars(words, lines(_first(here, {name: words}), _statistic({name: words})), TASK, value=words)
            for name, words in _SPARSITY.items()
        ),
    )
    yield pivot("Sparsity", lines(here.rows(*_SPARSITY), _statistic(_SPARSITY)), CONFIGURATION, TASK, _LAYER)
    stored = (r for r in here.rows(*_ACCURACY) if "layers" in r.parameters)
    yield pivot("Accuracy", lines(stored, _statistic(_ACCURACY)), CONFIGURATION, TASK)
    caption = "Bits stored per parameter (far below what fits: these networks are larger than their facts need)"
    yield pivot(caption, lines(here.rows("bits_per_parameter"), _COUNTED), CONFIGURATION)
    if pictures := _pictures(here):
        yield Part(title="Four pictures of the plane", blocks=pictures)


def _first(here: Here, statistics: Mapping[str, str], source: str | None = None) -> list[Measured]:
    """The rows of the last layer of the configuration that is studied most."""
    first = first_configuration(here.view)
    rows = here.rows(*statistics, source=source, parameters=first)
    return [r for r in rows if r.layer == first["layers"] - 1]


def _pictures(here: Here) -> tuple[Figure, ...]:
    maps, points = here.view.table(CARD.name, "maps"), here.view.table(CARD.name, "points")
    if maps is None or points is None:
        return ()
    figures = []
    for name, words, facts in _PICTURES:
        right = "; ".join(_with_neurons(r) for r in here.rows("accuracy_seen", condition=name))
        agree = "; ".join(_with_neurons(r) for r in here.rows("facts_agree", condition=name))
        also = f" Share of the plane on which the two answers agree: {agree}." if agree else ""
        found = figure(
            f"{words}: points to be learned, and what networks of one hidden layer make of the plane. Points given "
            f"right: {right}.{also}",
            f"Maps of the plane in two shades, {words.lower()}.",
            *_planes(maps[maps["picture"] == name], points[points["picture"] == name], facts),
        )
        figures += [found] if found else []
    return tuple(figures)


def _with_neurons(row: Measured) -> str:
    return f"{row.number} {row.interval} with {row.parameters['neurons']} neurons".replace("  ", " ")


def _planes(maps: pd.DataFrame, points: pd.DataFrame, facts: tuple[str, ...]) -> tuple[Plane, ...]:
    charts = []
    for (width, network, fact), places in maps.groupby(["width", "network", "fact"], sort=True):
        side = places["y"].nunique()
        values = places.sort_values(["y", "x"])["probability"].to_numpy(dtype=float).reshape(side, -1)
        on = points[points["fact"] == fact]
        shown = zip(on["x"].tolist(), on["y"].tolist(), on["colour"].tolist(), strict=True)
        charts.append(
            Plane(
                title=f"{facts[int(str(fact))]}{width} neurons, network {int(str(network)) + 1}",
                values=tuple(tuple(row) for row in values.tolist()),
                points=tuple((float(x), float(y), int(c)) for x, y, c in shown),
            )
        )
    return tuple(charts)
