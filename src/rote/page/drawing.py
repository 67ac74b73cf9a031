"""The circuit's drawing as coordinates: boxes, words, bars and arrows from top to bottom, one column.

It is 380 units wide with words of 14 units, so that it can be read unscaled on a telephone.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from rote.page.document import Diagram, Stage

WIDTH = 380
_PAD = 16
_LINE = 19
_GAUGE = 24
_CHIP = 34
_ARROW = 50
_CHARS = 46
_FILL = {
    "tokens": ("#f3f4f6", "#6b7280"),
    "concatenate": ("#e8f0fa", "#1f5fa8"),
    "lookup": ("#fbf1e2", "#b7791f"),
    "extract": ("#f0eaf7", "#7a4ea3"),
    "answer": ("#e7f4ee", "#2a7f62"),
}


@dataclass(frozen=True, kw_only=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = "none"
    radius: float = 6


@dataclass(frozen=True, kw_only=True)
class Words:
    x: float
    y: float
    text: str
    size: int = 14
    bold: bool = False
    anchor: str = "start"
    fill: str = "#1f2937"


@dataclass(frozen=True, kw_only=True)
class Arrow:
    x: float
    y: float
    to_y: float


@dataclass(frozen=True, kw_only=True)
class Drawing:
    title: str
    alt: str
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    words: tuple[Words, ...]
    width: float = WIDTH


def lay_out(diagram: Diagram) -> Drawing:
    """Place every stage under the one before it."""
    boxes: list[Box] = []
    words: list[Words] = []
    arrows: list[Arrow] = []
    y = 4.0
    for index, stage in enumerate(diagram.stages):
        if index:
            y = _arrow(stage.arrow, y, arrows, words)
        y = _stage(stage, y, boxes, words)
    return Drawing(
        title=diagram.title,
        alt=diagram.alt,
        height=y + 4,
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        words=tuple(words),
    )


def _arrow(label: str, y: float, arrows: list[Arrow], words: list[Words]) -> float:
    lines = textwrap.wrap(label, _CHARS - 8, max_lines=2, placeholder=" …")
    height = max(_ARROW - 14, _LINE * len(lines) + 14)
    arrows.append(Arrow(x=44, y=y + 3, to_y=y + height - 3))
    top = y + height / 2 - _LINE * (len(lines) - 1) / 2 + 5
    words.extend(Words(x=62, y=top + _LINE * i, text=line, fill="#4b5563") for i, line in enumerate(lines))
    return y + height


def _stage(stage: Stage, y: float, boxes: list[Box], words: list[Words]) -> float:
    fill, stroke = _FILL[stage.kind]
    top, frame = y, len(boxes)
    y += 26
    for line in textwrap.wrap(stage.title, _CHARS - 8) or [""]:
        words.append(Words(x=_PAD, y=y, text=line, size=16, bold=True))
        y += 20
    for line in (part for text in stage.lines for part in textwrap.wrap(text, _CHARS, max_lines=3, placeholder=" …")):
        words.append(Words(x=_PAD, y=y, text=line, fill="#374151"))
        y += _LINE
    if stage.chips:
        y = _chips(stage.chips, y - 8, stroke, boxes, words)
    for gauge in stage.gauges:
        words.append(Words(x=_PAD, y=y + 4, text=gauge.label[:25]))
        boxes.append(Box(x=212, y=y - 7, width=92, height=12, fill="#ffffff", stroke="#9ca3af", radius=2))
        boxes.append(Box(x=212, y=y - 7, width=92 * min(max(gauge.fraction, 0), 1), height=12, fill=stroke, radius=2))
        words.append(Words(x=WIDTH - _PAD, y=y + 4, text=gauge.text, bold=True, anchor="end"))
        y += _GAUGE
    bottom = y - (6 if not stage.gauges else 4)
    boxes.insert(frame, Box(x=1, y=top, width=WIDTH - 2, height=bottom - top, fill=fill, stroke=stroke))
    return bottom


def _chips(chips: tuple[str, ...], y: float, stroke: str, boxes: list[Box], words: list[Words]) -> float:
    """Short words in frames, as many to a line as fit."""
    x = float(_PAD)
    for chip in chips:
        text = chip if len(chip) <= 36 else chip[:35] + "…"
        width = 8.2 * len(text) + 18
        if x > _PAD and x + width > WIDTH - _PAD:
            x, y = float(_PAD), y + _CHIP
        boxes.append(Box(x=x, y=y, width=min(width, WIDTH - 2 * _PAD), height=26, fill="#ffffff", stroke=stroke))
        words.append(Words(x=x + min(width, WIDTH - 2 * _PAD) / 2, y=y + 18, text=text, anchor="middle"))
        x += width + 8
    return y + _CHIP + 14
