"""Neurons as voters: subsets of them, the correlation of their errors, and the same with independent neurons."""

from __future__ import annotations

from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import By, lines
from rote.page.shapes import curve, figure, pivot
from rote.toys.memorisation.bagging_card import CARD
from rote.toys.memorisation.lead import first_configuration
from rote.toys.memorisation.section import CONFIGURATION, TASK

_KINDS = {False: "the network's neurons", True: "as strong, but independent"}
_KIND = By(of=lambda row: row.source == "independent", words=_KINDS)
_INDEPENDENT = By(of=_KIND.of, words={False: "", True: "of independent ones"})
_VOTES = {
    "vote_accuracy": "one vote",
    "error_correlation": "correlation of errors",
    "vote_count_variance": "variance of wrong votes",
    "majority_accuracy": "majority of votes",
    "subset_accuracy": "sum of all neurons",
}


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    first, subsets = first_configuration(here.view), here.rows("subset_accuracy")
    drawn = lines((r for r in subsets if {**r.parameters, **first} == r.parameters), TASK)
    share = {s: f"{100 * s:.0f} %" for s in {r.parameters["share"] for r in subsets}}
    neurons = By(of="share", words=share, title="share of the neurons")
    yield figure(
        "Accuracy of the summed contributions of random neurons, in the first configuration, and of neurons that are "
        "each as strong but independent of the others given the class. Where the network's line ends above the other, "
        "its neurons make up for each other's errors, as votes that are merely added up do not.",
        "Accuracy rises with the share of neurons.",
        *(
            curve(
                task.name, lines(task.rows, _KIND), y="accuracy on seen facts", x=neurons, scale="even",
                guides=[Guide(value=0.5, label="chance")],
            )
            for task in drawn
        ),
    )  # fmt: skip
    rows = (r for r in here.rows(*_VOTES) if r.parameters.get("share", 1.0) == 1.0)
    votes = lines(rows, By(of="statistic", words=_VOTES), _INDEPENDENT)
    yield pivot("Votes of single neurons on the seen facts", votes, CONFIGURATION, TASK)
