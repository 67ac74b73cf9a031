"""How many facts fit: facts against neurons, width and parameters, their exponents, bits per parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rote.page.document import Guide, XYChart
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import By, Line, lines
from rote.page.shapes import curve, figure, finding, pivot, table
from rote.page.view import Measured
from rote.toys.capacity.card import CARD
from rote.toys.capacity.lead import capacity_sentence, growth

_TRAINED = {
    None: "facts stored",
    "trained": "bits per trained parameter",
    "mlp": "bits per parameter of the MLPs",
    "all": "bits per parameter, embeddings counted as well",
}
_BY_HAND = {
    None: "facts of three classes, all right",
    "mlp": "bits per parameter",
    "all": "vectors counted as well",
}
_NETWORK = {
    "neurons": "neurons",
    "d_model": "d_model",
    "layers": "layers",
    "classes": "classes",
    "embedding": "embedding",
    "steps_times": "times the steps",
}
_EXPONENTS = {
    "facts": "of facts stored",
    "bits": "of their bits",
    "parameters": "of parameters",
    "bits_per_parameter": "of bits per parameter",
}


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    facts = here.rows("facts_stored", condition="trained")
    grid = [r for r in facts if _kind(r, facts) == "the grid"]
    yield finding(capacity_sentence(here.view))
    if len(grid) > 1:
        yield figure(
            "Facts stored, both axes logarithmic: a straight line of slope 1 is proportional growth. Bars are 95 % "
            "intervals over networks.",
            "Facts stored rise with neurons and with d_model.",
            _growth(grid, x="neurons", line="d_model"),
            _growth(grid, x="d_model", line="neurons"),
        )
    yield figure(
        "Bits per trained parameter at the edge, each configuration a point, beside the construction by hand.",
        "Points around two bits per parameter.",
        _bits(here, facts),
    )
    yield from _exponents(here)
    bits = here.rows("bits_per_parameter", condition="trained")
    network = [By(of=name, title=words) for name, words in _NETWORK.items()]
    caption = (
        "Facts stored and bits per parameter. A network's figure is the most that it was seen to store: a few per "
    )
    caption += "cent more were seen to fail"
    yield pivot(caption, _columns((*facts, *bits), _TRAINED), *network)
    every = tuple(r for r in here.rows("bits_per_parameter") if r.condition not in ("trained", "by_hand"))
    yield table("Bits per trained parameter, all configurations together", every, By(of="condition"))
    hand = here.rows("facts_stored", "bits_per_parameter", condition="by_hand")
    caption = "The construction by hand: N² + 6N + 3 parameters for N² facts of log₂ 3 bits"
    yield pivot(caption, _columns(hand, _BY_HAND), By(of="integers", title="integers in either place"))


def _columns(rows: Sequence[Measured], words: dict[str | None, str]) -> tuple[Line, ...]:
    """The facts stored first, then their bits as they are counted."""
    return lines(rows, By(of=lambda r: str(r.source), words={str(source): name for source, name in words.items()}))


def _kind(row: Measured, rows: Sequence[Measured]) -> str:
    """What is other than in the grid: random embeddings, the first of layers and classes."""
    p, first = row.parameters, rows[0].parameters
    if p["embedding"] != first["embedding"]:
        return "trained embeddings"
    if p["steps_times"] != 1:
        return "more steps"
    if p["layers"] != first["layers"]:
        return f"{p['layers']} layers"
    return "more classes" if p["classes"] != first["classes"] else "the grid"


def _growth(grid: Sequence[Measured], *, x: str, line: str) -> XYChart | None:
    drawn = lines(grid, By(of=line, words={r.parameters[line]: f"{line} {r.parameters[line]}" for r in grid}))
    return curve(f"facts against {x}", drawn, y="facts stored", x=By(of=x, title=x), scale="log", y_log=True)


def _bits(here: Here, facts: Sequence[Measured]) -> XYChart | None:
    """Bits against the facts that they are of; by hand, N² facts of N integers."""
    stored = {_key(r): r.value for r in (*facts, *here.rows("facts_stored", condition="by_hand"))}
    rows = here.rows("bits_per_parameter", condition="trained", source="trained")
    hand = here.rows("bits_per_parameter", condition="by_hand", source="mlp")
    drawn = (
        *lines(rows, By(of=lambda r: _kind(r, rows))),
        *(
            replace(line, color=4, style="dash")
            for line in lines(hand, By(of="condition", words={"by_hand": "by hand"}))
        ),
    )
    literature = (Guide(value=2.0, label="2: the literature"), Guide(value=1.585, label="1.58: log₂ 3"))
    x = By(of=lambda r: stored.get(_key(r)), title="facts stored")
    y = "bits per trained parameter"
    return curve("", drawn, y=y, x=x, scale="log", span=(0, 2.6), joined=False, guides=literature)


def _key(row: Measured) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(row.parameters.items()))


def _exponents(here: Here) -> Blocks:
    """Along whole axes, with what they say of growth; then of facts between neighbouring sizes."""
    rows = here.rows("exponent")
    whole = [r for r in rows if " to " not in (r.source or "")]
    held = Line(name="bits held", rows=tuple(r for r in whole if r.condition == "bits_per_parameter"), cell=growth)
    yield pivot(
        "Exponents: log–log slopes along one axis, everything else held fixed. What is exactly proportional to "
        "parameters has their exponent; bits per parameter then have 0",
        (*lines(whole, By(of="condition", words=_EXPONENTS)), held),
        By(of="source", title="axis"),
    )
    steps = tuple(r for r in rows if r not in whole)
    yield table("Exponents of facts stored between neighbouring sizes", steps, By(of="source", title="between"))
