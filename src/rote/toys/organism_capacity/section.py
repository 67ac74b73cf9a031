"""Facts held against parameters, one line for each number of exposures, and the exponent in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import By, lines
from rote.page.shapes import curve, figure, finding, pivot, table
from rote.page.view import Measured, View
from rote.toys.organism_capacity.card import CARD

EXPERIMENT = CARD.name
_OF = By(of="statistic", words={"capacity_exponent": "facts held", "bits_exponent": "bits stored"}, title="of")
_AGAINST = {"parameters": "all parameters", "block_parameters": "parameters without embeddings"}
_LEFT_OUT = By(
    of=lambda r: ", ".join(map(str, r.parameters.get("widths_left_out", []))) or "none", title="widths left out ¹"
)
_EXPOSURES, _WIDTH = By(of="exposures", title="exposures"), By(of="d_model", title="width")
_PARAMETERS = By(of="parameters", title="parameters")
_BLOCKS = By(of="block_parameters", title="without embeddings")


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    held, bits, known = here.rows("facts_held"), here.rows("bits_held"), here.rows("n_known")
    if not held:
        return
    exposures = By(of="exposures", words={e: f"{e} exposures" for e in exposures_of(held)})
    given = sorted({int(r.parameters["n_facts"]) for r in known})[-1:]
    most = [Guide(value=n, label=f"most facts given, {n:,}") for n in given]
    yield finding(sentence(here.view))
    yield figure(
        "Left: the most facts that a width comes to know, against its parameters, both on logarithmic scales; the "
        "dashed line is the most facts that were given. Right: the most bits stored for each parameter. One point per "
        "width, mean over seeds; whiskers are 95 % Student intervals over seeds.",
        "Facts held and bits per parameter against parameters, a line for each number of exposures.",
        curve(
            "facts held", lines(held, exposures), y="facts held", x=_PARAMETERS, scale="log", y_log=True, guides=most
        ),
        curve("bits for each parameter", lines(bits, exposures), y="bits", x=_PARAMETERS, scale="log", span=(0, 0)),
    )
    against = By(of="condition", words=_AGAINST, title="against")
    caption = "Exponents (¹ widths that knew over 90 % of the most facts given, and could have held more)"
    yield table(caption, here.rows(*_OF.words), _OF, against, _EXPOSURES, _LEFT_OUT)
    columns = By(of="statistic", words={"facts_held": "facts held", "bits_held": "bits per parameter"})
    caption = "The most that a width comes to hold, mean over seeds"
    yield pivot(caption, lines((*held, *bits), columns), _EXPOSURES, _WIDTH, _PARAMETERS, _BLOCKS)
    counts = By(of="n_facts", words={n: f"{n:,} facts" for n in {r.parameters["n_facts"] for r in known}})
    caption = ", by width (rows) and facts given (columns), mean over seeds"
    yield pivot(f"Facts known{caption}", lines(known, counts), _EXPOSURES, _WIDTH)
    yield pivot(f"Bits per parameter{caption}", lines(here.rows("bits_per_parameter"), counts), _EXPOSURES, _WIDTH)


def exposures_of(rows: Sequence[Measured]) -> list[int]:
    return sorted({int(r.parameters["exposures"]) for r in rows})


def sentence(view: View) -> str:
    """The answer: the exponent and the bits per parameter at the most exposures."""
    held = view.rows(EXPERIMENT, "facts_held")
    most = max(exposures_of(held))
    found = _exponent(view, most, "capacity_exponent", "parameters")
    bits = [r for r in view.rows(EXPERIMENT, "bits_held") if r.parameters.get("exposures") == most]
    best = sorted(bits, key=lambda r: -r.value)[:1]
    end = "".join(
        f"; at most {r.number} bits for each parameter are stored (width {r.parameters['d_model']})." for r in best
    )
    if found is None:
        return f"With {most} exposures of each fact no exponent can be given{end}"
    growth = (
        "more than in proportion" if found.low is not None and found.low > 1
        else "less than in proportion" if found.high is not None and found.high < 1
        else "in a way that cannot be told from proportional"
    )  # fmt: skip
    return (
        f"With {most} exposures of each fact, facts held grow as parameters to the power {found.number} "
        f"{found.interval}, {growth}{end}"
    )


def _exponent(view: View, exposures: int, statistic: str, condition: str) -> Measured | None:
    rows = view.rows(EXPERIMENT, statistic, condition=condition)
    return next((r for r in rows if r.parameters.get("exposures") == exposures), None)
