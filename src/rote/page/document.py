"""What a report says, as typed content: plain strings and numbers, no markup of any kind.

`as_text` and `as_html` turn a Document into a page. Every string here is plain text; escaping is the
business of the HTML leaf alone, so a section cannot forget it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["plain", "question", "method", "source", "note", "finding"]
LineStyle: TypeAlias = Literal["solid", "dot", "dash"]


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    text: str
    role: Role = "plain"


@dataclass(frozen=True, kw_only=True)
class Column:
    title: str
    numeric: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells are finished strings; `caption` says what the rows are. ValueError where a row has too many or too few."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} - {len(self.columns)}
        if widths:
            raise ValueError(
                f"table {self.caption!r} has {len(self.columns)} columns and rows of {sorted(widths)} cells"
            )


@dataclass(frozen=True, kw_only=True)
class Axis:
    """`ticks` are (place, label) pairs; `low`..`high` fixes the range; `percent` shows 0.5 as 50 %.

    With `log`, equal distances are equal ratios; ticks and range are still given as plain values.
    """

    title: str
    ticks: tuple[tuple[float, str], ...] = ()
    low: float | None = None
    high: float | None = None
    percent: bool = False
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A straight reference line across a chart, at a value of the value axis."""

    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points with intervals and one hover text each (lines of text); `color` indexes the palette."""

    name: str
    x: tuple[float, ...] = ()
    y: tuple[float | None, ...]
    hover: tuple[tuple[str, ...], ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    color: int = 0
    style: LineStyle = "solid"
    joined: bool = True
    band: bool = False


@dataclass(frozen=True, kw_only=True)
class XYChart:
    """Series over a numeric axis; `shaded` is (from, to, label) on the x axis."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    guides: tuple[Guide, ...] = ()
    shaded: tuple[float, float, str] | None = None


@dataclass(frozen=True, kw_only=True)
class BarChart:
    """Horizontal bars, one for each (category, series), first category on top; None leaves a gap."""

    title: str
    categories: tuple[str, ...]
    value: Axis
    series: tuple[Series, ...]
    stacked: bool = False
    guides: tuple[Guide, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """`values[row][column]`, None where there is none; `printed` writes the value into the cell.

    `limit` fixes the colours at −limit..limit, so that charts beside each other can be compared.
    """

    title: str
    x: Axis
    y: Axis
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    hover: tuple[tuple[tuple[str, ...], ...], ...]
    unit: str
    diverging: bool = True
    limit: float | None = None
    printed: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class StripChart:
    """One row of points for each category, spread a little so that they can be told apart."""

    title: str
    categories: tuple[str, ...]
    x: Axis
    points: tuple[Series, ...]  # y of a point is the index of its category
    guides: tuple[Guide, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plane:
    """The square [−1, 1]² with a probability at each place (`values[row][column]`, rows upwards) and points on it.

    `points` are (x, y, colour), colour 0 or 1: the shade that a probability of 0 or 1 has.
    """

    title: str
    values: tuple[tuple[float, ...], ...]
    points: tuple[tuple[float, float, int], ...]


Chart: TypeAlias = XYChart | BarChart | Heatmap | StripChart | Plane


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One or more charts under one caption; `alt` says in words what can be seen."""

    caption: str
    alt: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One stack in a strip: the studied model, or a control by what it is to this hypothesis.

    `unmatched` marks a control that could not be matched to the model and is no reference.
    """

    name: str
    role: Literal["model", "with", "without", "other", "trained"]
    value: float
    low: float | None
    high: float | None
    hover: str
    unmatched: bool = False


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One run's line-up for one test, and the verdict in words; no marks where there is nothing to draw."""

    verdict: str
    tone: Literal["for", "against", "open", "blind", "none"]
    note: str
    alt: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class StripRow:
    """One test with a scale of its own, low..high; a strip for each run."""

    title: str
    detail: str
    low: float
    high: float
    low_text: str
    high_text: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True)
class StripGroup:
    """The tests of one hypothesis; `summaries` says how it stands, for each run."""

    title: str
    statement: str
    rows: tuple[StripRow, ...]
    summaries: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LineUp:
    """The model among controls of known mechanism; `runs` names the strips of a row where there are several.

    `legend` holds (role, words) of the marks that occur, `codes` the short names of the other controls.
    """

    caption: str
    runs: tuple[str, ...]
    groups: tuple[StripGroup, ...]
    legend: tuple[tuple[str, str], ...]
    codes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """A labelled fraction in the drawing, shown as a short bar and a number."""

    label: str
    fraction: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One box of the drawing, with gauges inside and the words on the arrow that leads into it."""

    kind: Literal["tokens", "concatenate", "lookup", "extract", "answer"]
    title: str
    lines: tuple[str, ...] = ()
    chips: tuple[str, ...] = ()
    gauges: tuple[Gauge, ...] = ()
    arrow: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagram:
    """The circuit, top to bottom."""

    title: str
    alt: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How one hypothesis stands, in one word and one sentence."""

    standing: str
    about: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The answer in words: one headline, a few sentences, the numbers they rest on, the drawing.

    The first sentence says what is known; `judgements` follow it, then the other sentences.
    """

    headline: str
    sentences: tuple[str, ...]
    judgements: tuple[Judgement, ...] = ()
    figures: tuple[KeyFigure, ...] = ()
    diagram: Diagram | None = None


Block: TypeAlias = Paragraph | Table | Figure | LineUp


@dataclass(frozen=True, kw_only=True)
class Part:
    """A titled piece of a section, such as one relation."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    name: str
    title: str
    blocks: tuple[Block | Part, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """`front` stands above the contents, directly below the answer."""

    title: str
    subtitle: str
    leads: tuple[Lead, ...]
    sections: tuple[Section, ...]
    footer: str
    front: tuple[Section, ...] = ()
