"""Correlations between the facts of one entity, over the neurons whose ablation changes them."""

from __future__ import annotations

from rote.experiments.shared_neurons.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import STACK, By, lines
from rote.page.shapes import figure, first_order, matrix, pivot

_KINDS = {"unlinked": "not linked", "linked": "linked"}
_KIND = By(of=lambda r: (r.condition or "").removesuffix("_resample"), words=_KINDS, title="kind of pair")
_RESAMPLED = "resample ablation"
_ABLATION = By(
    of=lambda r: _RESAMPLED if (r.condition or "").endswith("_resample") else "mean ablation",
    words={"mean ablation": "mean ablation", _RESAMPLED: _RESAMPLED},
    title="ablation",
)
_PAIR = By(of=lambda r: " and ".join(map(str, r.parameters["relations"])), title="relations")


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    pairs = here.rows("fact_correlation")
    names = {str(name): str(name) for name in sorted({name for r in pairs for name in r.parameters["relations"]})}
    one = By(of=lambda r: r.parameters["relations"][0], words=names)
    other = By(of=lambda r: r.parameters["relations"][1], words=names)
    yield figure(
        "Correlation, over all neurons of the window, of what ablating a neuron does to two facts of one entity (mean "
        "ablation, mean over entities). Pairs with a star are linked: one relation determines the other.",
        "Matrix of relation by relation, one for each stack.",
        *(
            matrix(
                line.name, line.rows, y=one, x=other, unit="correlation", limit=1.0, label=_PAIR.called, mirrored=True,
                mark=lambda r: "*" if r.condition == "linked" else "",
            )
            for line in lines(here.rows("fact_correlation", condition=tuple(_KINDS)), STACK)
        ),
    )  # fmt: skip
    columns = lines(pairs, STACK, _ABLATION)
    yield pivot("Correlation for each pair of relations", columns, _PAIR, _KIND, most=30, what="pairs")
    sizes = lines(here.rows("mean_abs_correlation"), STACK, _ABLATION)
    yield pivot("Size of the correlation, whatever its sign", sizes, _KIND)
    yield first_order(here, STACK)
