"""Rows told apart: the lines of a chart, the series of its bars, the columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rote.page.document import LineStyle
from rote.page.view import Measured

_STYLES: tuple[LineStyle, ...] = ("solid", "dot", "dash")


@dataclass(frozen=True, kw_only=True)
class By:
    """What tells rows apart: a field of theirs, one of their parameters, or any function of them.

    Attributes:
        of: the field or parameter by its name, or the function.
        words: what its values are called, in their order; others follow, numbers by size, under their own names. What
            has no value (None) stands last.
        title: of an axis or of a column.
        colors: of the values, by their place; in the order of the palette without them.
    """

    of: str | Callable[[Measured], Any]
    words: Mapping[Any, str] = field(default_factory=dict)
    title: str = ""
    colors: tuple[int, ...] = ()

    def value(self, row: Measured) -> Any:
        if callable(self.of):
            return self.of(row)
        return row.parameters[self.of] if self.of in row.parameters else getattr(row, self.of, None)

    def word(self, value: Any) -> str:
        return self.words.get(value, "" if value is None else f"{value:,}" if isinstance(value, int) else str(value))

    def called(self, row: Measured) -> str:
        return self.word(self.value(row))

    def places(self, rows: Iterable[Measured]) -> dict[Any, int]:
        """The place of every value: numbers by size, words in their order, others as they come, None last."""
        found = [value for row in rows if (value := self.value(row)) is not None]
        numbers = all(isinstance(value, int | float) for value in found)
        ordered = sorted(set(found)) if numbers else [v for v in (*self.words, *found) if v is not None]
        return {value: i for i, value in enumerate((*dict.fromkeys(ordered), None))}

    def color(self, place: int) -> int:
        return self.colors[place] if place < len(self.colors) else place


def source_mlp(row: Measured) -> int | None:
    """The layer of the MLP that its source names."""
    return int(row.source[4:]) if row.source and row.source.startswith("mlp.") else None


STACKS = {"model": "whole model", "effective": "effective model"}
ABLATION_WORDS = {"mean": "mean ablation", "resample": "resample ablation", "additive": "additive ablation"}
STACK = By(of="stack", words=STACKS, title="stack", colors=(4, 0))
ABLATION = By(of="condition", words=ABLATION_WORDS, title="ablation")
LAYER = By(of="layer", words={-1: "input", None: "all together"}, title="layer")
MLP = replace(LAYER, words={None: "all together"}, title="MLP")
SOURCE_MLP = By(of=source_mlp, title="MLP")
NODE = By(of="name", title="node")
HEAD = replace(NODE, title="head")
CLASS = By(of="cls", words={None: "mean over the classes"}, title="class")
_POSITIONS = {
    "bos": "start of text",
    "prefix": "one-shot prefix",
    "name_early": "earlier name tokens",
    "subject_last": "last name token",
    "relation_words": "relation words",
    "end": "the end itself",
}
POSITION = By(of="position", words=_POSITIONS, colors=(4, 7, 2, 0, 1, 3))


@dataclass(frozen=True, kw_only=True)
class Line:
    """Rows that belong together: a line of a chart, a series of bars, a column of a table.

    `cell`: what stands in a table; the value with its interval without it.
    """

    name: str
    rows: tuple[Measured, ...]
    color: int = 0
    style: LineStyle = "solid"
    cell: Callable[[Measured], str] | None = None


def lines(rows: Iterable[Measured], *by: By) -> tuple[Line, ...]:
    """Rows that agree in everything of `by`, in the order of its words; coloured by the first, styled by the second."""
    found: dict[tuple[Any, ...], list[Measured]] = {}
    for row in (rows := tuple(rows)):
        found.setdefault(tuple(b.value(row) for b in by), []).append(row)
    places = [b.places(rows) for b in by]
    ordered = sorted((tuple(p[v] for p, v in zip(places, key, strict=True)), key) for key in found)
    return tuple(
        Line(
            name=", ".join(word for b, value in zip(by, key, strict=True) if (word := b.word(value))),
            rows=tuple(found[key]),
            color=by[0].color(at[0]),
            style=_STYLES[min(at[1], len(_STYLES) - 1)] if len(by) > 1 and key[1] is not None else "solid",
        )
        for at, key in ordered
    )
