"""A Document as plain text: what the tests read, and what a terminal can show."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rote.errors import printable
from rote.page.document import Block, Diagram, Document, Figure, Lead, LineUp, Paragraph, Part, Section, Table

_WIDTH = 100


def text_of(document: Document) -> str:
    """The whole document; figures by their caption and description, tables in aligned columns."""
    lines = [document.title, "=" * len(document.title), document.subtitle, ""]
    for lead in document.leads:
        lines.extend(_lead(lead))
    for section in (*document.front, *document.sections):
        lines.extend(_section(section))
    lines.append(document.footer)
    return printable("\n".join(line.rstrip() for line in lines) + "\n")


def leads_of(document: Document) -> str:
    """The answer alone, without the sections, as a terminal shows it at the end of a study."""
    lines = [line for lead in document.leads for line in _lead(lead)]
    return printable("\n".join(line.rstrip() for line in lines).strip())


def _wrapped(text: str, first: str = "", then: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)


def _lead(lead: Lead) -> Iterator[str]:
    yield lead.headline
    yield ""
    judged = (f"{j.about} ({j.standing}): {j.text}" for j in lead.judgements)
    for sentence in (*lead.sentences[:1], *judged, *lead.sentences[1:]):
        yield from _wrapped(sentence, "- ", "  ")
    yield ""
    for figure in lead.figures:
        yield f"{figure.label}: {figure.value}" + (f" ({figure.detail})" if figure.detail else "")
    if lead.diagram:
        yield ""
        yield from _diagram(lead.diagram)
    yield ""


def _diagram(diagram: Diagram) -> Iterator[str]:
    yield f"[{diagram.title}]"
    for index, stage in enumerate(diagram.stages):
        if index:
            yield f"    |  {stage.arrow}".rstrip()
            yield "    v"
        yield f"  {stage.title}" + (f": {', '.join(stage.chips)}" if stage.chips else "")
        yield from (f"    {line}" for line in stage.lines)
        yield from (f"    {gauge.label}: {gauge.text}" for gauge in stage.gauges)


def _section(section: Section) -> Iterator[str]:
    yield ""
    yield section.title
    yield "-" * len(section.title)
    for block in section.blocks:
        if isinstance(block, Part):
            yield f"## {block.title}"
            for inner in block.blocks:
                yield from _block(inner)
        else:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            label = {"method": "Method: ", "source": "Source: "}.get(block.role, "")
            yield from _wrapped(label + block.text)
        case Table():
            yield from _table(block)
        case LineUp():
            yield from _line_up(block)
        case Figure():
            yield from _wrapped(f"[Figure: {block.caption} {block.alt}]")
    yield ""


def _table(table: Table) -> Iterator[str]:
    yield table.caption
    cells = [tuple(c.title for c in table.columns), *table.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    for number, row in enumerate(cells):
        aligned = (
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        )
        yield "  " + "  ".join(aligned)
        if number == 0:
            yield "  " + "  ".join("-" * width for width in widths)


def _line_up(block: LineUp) -> Iterator[str]:
    """A line for each strip: the test, the verdict and every value; hypotheses with their standing."""
    for group in block.groups:
        yield group.title
        for name, summary in zip(block.runs or ("",), group.summaries, strict=True):
            yield f"  {name}: {summary}" if name else f"  {summary}"
        for row in group.rows:
            for name, strip in zip(block.runs or ("",), row.strips, strict=True):
                words = f"{name}: {strip.alt}" if name else strip.alt
                yield from _wrapped(words, "  - ", "    ")
