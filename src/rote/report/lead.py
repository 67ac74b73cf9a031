"""The answer in words and its drawing, computed from the rows alone."""

from __future__ import annotations

from rote.page.document import Diagram, Gauge, KeyFigure, Lead, Stage
from rote.page.numbers import percent
from rote.page.view import Measured
from rote.report.circuit_found import CircuitFound

_MAX_CHIPS = 4


def lead_of(found: CircuitFound, *, of_several: bool) -> Lead:
    """Headline, sentences, key figures, drawing; `of_several`: other relations have leads of their own."""
    about = f" for “{found.relation}”" if of_several and found.relation else ""
    if not found.knows_any:
        return _knows_none(found, about)
    if not found.has_window:
        return _no_window(found, about)
    span = _span("MLP", found.start, found.stop)
    looks = f"and looks them up in {span}"
    if found.undecided:
        looks = f"and whether {span} {'looks' if found.start == found.stop else 'look'} them up is undecided"
    return Lead(
        headline=f"The model knows these facts {looks}{about}.",
        sentences=tuple(
            s
            for s in (
                _known(found),
                _concatenates(found),
                _looks_up(found),
                found.undecided or "",
                found.borders or "",
                _extracts(found),
                _effective(found),
            )
            if s
        ),
        figures=_figures(found),
        diagram=_diagram(found),
    )


def _knows_none(found: CircuitFound, about: str) -> Lead:
    asked = f"all {found.n_facts.number} facts" if found.n_facts else "the facts"
    if found.n_likely is None or found.n_likely.value == 0:
        why = "the right answer never gets a probability above one half"
    else:
        why = "the right answer never comes first, as the study asks for"
    sentences = [f"Of {asked} that were asked, the model knows none: {why}."]
    if found.accuracy_cls and found.best_guess:
        sentences.append(
            f"Among the classes alone it picks the right one for {percent(found.accuracy_cls.value)}; "
            f"{_guess(found.best_guess)} would give {percent(found.best_guess.value)}."
        )
    sentences.append("There is no recall to take apart, so nothing further was measured.")
    headline = f"The model knows none of these facts{about}."
    return Lead(headline=headline, sentences=tuple(sentences), figures=_figures(found))


def _no_window(found: CircuitFound, about: str) -> Lead:
    """Nothing reads the name, a window was sought and not found, too few facts are known, or it was not sought."""
    reasons = " ".join(r if r.endswith((".", "!", "?")) else f"{r}." for r in found.no_window_reasons)
    if found.window_measured:
        headline = f"The model knows these facts, but no MLP window looks them up{about}."
        why = reasons
    elif reasons and found.no_readout:
        headline = f"The model knows these facts, but no head reads them at the name's last token{about}."
        why = reasons
    elif reasons:
        headline = f"Where the model looks these facts up could not be measured{about}."
        why = f"Why: {reasons}"
    else:
        counted = found.n_known and found.n_facts and f"{found.n_known.number} of {found.n_facts.number} facts"
        headline = f"The model knows {counted or 'these facts'}{about}; where it looks them up was not asked for."
        why = ""
    sentences = (_known(found), why, _without_window(found), _concatenates(found), _extracts(found))
    return Lead(headline=headline, sentences=tuple(s for s in sentences if s), figures=_figures(found))


def _known(found: CircuitFound) -> str:
    if not (found.n_known and found.n_facts):
        return ""
    share = percent(found.n_known.value / found.n_facts.value) if found.n_facts.value else "none"
    text = f"It knows {found.n_known.number} of {found.n_facts.number} facts ({share})"
    if found.accuracy:
        text += f" and gives the right answer first for {_with_interval(found.accuracy)}"
    if found.best_guess:
        text += f"; {_guess(found.best_guess)} would give {percent(found.best_guess.value)}"
    return f"{text}.{_told_apart(found)}"


def _told_apart(found: CircuitFound) -> str:
    """How many answers the circuit tells apart, where that is not all of them."""
    answers, classes = found.n_answers, found.n_circuit_classes
    if answers is None or classes is None or classes.value == answers.value:
        return ""
    return (
        f" Its {answers.number} answers begin with {classes.number} different tokens, which is all that the circuit "
        "tells apart."
    )


def _guess(row: Measured) -> str:
    return {
        "baseline_majority": "always saying the commonest class",
        "baseline_last": "guessing from the last part of the name",
        "baseline_first": "guessing from the first part of the name",
    }[row.statistic]


def _concatenates(found: CircuitFound) -> str:
    if not found.concatenating:
        return ""
    layers = _span("layer", *(r.layer for r in found.concatenating))
    heads = ", ".join(r.name for r in found.concatenating_heads)
    worst = min(found.concatenating, key=lambda r: r.value)
    above_all = f" (above all {heads})" if heads else ""
    if not found.has_window:
        return (
            f"Attention at the last name token matters in {layers}{above_all}: without that of layer "
            f"{worst.layer}, accuracy falls to {percent(worst.value)}."
        )
    text = f"Concatenate: attention in {layers}{above_all}"
    text += " brings the parts of the name together at its last token; without that of layer "
    text += f"{worst.layer}, accuracy falls to {percent(worst.value)}"
    if found.additive_r2:
        text += (
            f". A plain sum over the two parts of the name explains {percent(found.additive_r2.value)} of what results"
        )
    return text + "."


def _looks_up(found: CircuitFound) -> str:
    text = f"Look up: {_span('MLP', found.start, found.stop)} at the last name token"
    turn = "may turn" if found.undecided else "turns" if found.start == found.stop else "turn"
    text += f" {turn} the sum of both parts into the answer"
    if found.readout_before and found.readout_through:
        text += (
            "; read from the name alone, with later attention there ablated, it is right for "
            f"{percent(found.readout_before.value)} before them and "
            f"{percent(found.readout_through[-1].value)} after"
        )
    if found.window_ablated:
        text += f". Without them the model gets {percent(found.window_ablated.value)}"
        if found.additive:
            text += f", where a linear model on the two parts gets {percent(found.additive.value)}"
    return text + "."


def _without_window(found: CircuitFound) -> str:
    if not found.window_ablated:
        return ""
    text = f"With the candidate MLPs ablated the model still gets {percent(found.window_ablated.value)}"
    if found.additive:
        text += f", where a linear model on the two parts gets {percent(found.additive.value)}"
    return text + "."


def _extracts(found: CircuitFound) -> str:
    if not found.heads:
        return ""
    names = _listed([r.name for r in found.heads])
    verb = "carries" if len(found.heads) == 1 else "carry"
    text = f"Extract: {names} {verb} the answer to the end of the prompt"
    if found.head_attention:
        whose = "its" if len(found.heads) == 1 else f"{found.heads[0].name}'s"
        text += f"; {percent(found.head_attention.value)} of {whose} attention goes to the last name token"
    return text + "."


def _effective(found: CircuitFound) -> str:
    if not found.effective:
        return ""
    text = (
        "Distilled into a vector for each part, these MLPs and the readout, the effective model recalls "
        f"{_with_interval(found.effective)} of the entities that no choice was made on"
    )
    if found.shuffled:
        text += f"; with permuted MLP weights {percent(found.shuffled.value)}"
    return text + "."


def _figures(found: CircuitFound) -> tuple[KeyFigure, ...]:
    figures = []
    if found.n_known and found.n_facts:
        figures.append(KeyFigure(label="facts known", value=f"{found.n_known.number} of {found.n_facts.number}"))
    rows = (
        ("right among all tokens", found.accuracy),
        ("right among the classes", found.accuracy_cls),
        ("effective model", found.effective),
    )
    figures.extend(KeyFigure(label=label, value=r.number, detail=_detail(r)) for label, r in rows if r)
    if found.best_guess:
        figures.append(
            KeyFigure(
                label="best guess without look-up",
                value=found.best_guess.number,
                detail=_guess(found.best_guess),
            )
        )
    return tuple(figures)


def _detail(row: Measured) -> str:
    return ", ".join(part for part in (row.interval, f"n = {row.count}" if row.count else "") if part)


def _diagram(found: CircuitFound) -> Diagram:
    tokens = found.example[:2] if found.example else ("First", "Last")
    # of what nobody asked for, or found, a stage has its name alone
    layers = f": {_span('layer', *(r.layer for r in found.concatenating))}" if found.concatenating else ""
    heads = f": {_listed([r.name for r in found.heads[:3]])}" if found.heads else ""
    stages = [
        Stage(kind="tokens", title="Name", chips=tokens),
        Stage(
            kind="concatenate",
            title=f"Concatenate{layers}",
            lines=(f"heads {', '.join(r.name for r in found.concatenating_heads)}",)
            if found.concatenating_heads
            else (),
            gauges=tuple(_gauge(f"without layer {r.layer}", r) for r in found.concatenating),
            arrow="parts of the name",
        ),
        Stage(
            kind="lookup",
            title=f"Look up: {_span('MLP', found.start, found.stop)}",
            lines=("accuracy of the readout",) if found.readout_through else (),
            gauges=(
                *((_gauge("before", found.readout_before),) if found.readout_before else ()),
                *(_gauge(f"after MLP {r.layer}", r) for r in _thinned(found.readout_through)),
                *((_gauge("model, MLPs ablated", found.window_ablated),) if found.window_ablated else ()),
            ),
            arrow="a sum of one vector per part",
        ),
        Stage(
            kind="extract",
            title=f"Extract{heads}" + (" …" if len(found.heads) > 3 else ""),
            lines=("from the last name token to the end",),
            gauges=(_gauge("share of attention", found.head_attention),) if found.head_attention else (),
            arrow="the answer, readable by a linear map",
        ),
        Stage(
            kind="answer",
            title="Answer" + (f": {found.example[2]}" if found.example else ""),
            chips=(*found.classes[:_MAX_CHIPS], *(("…",) if len(found.classes) > _MAX_CHIPS else ())),
            gauges=tuple(
                _gauge(label, r)
                for label, r in (("model", found.accuracy_cls), ("effective model", found.effective))
                if r
            ),
            arrow="logits at the end of the prompt",
        ),
    ]
    steps = ", then ".join(stage.title for stage in stages)
    about = f", asked for {found.relation}" if found.relation else ""
    return Diagram(
        title=f"The circuit found{about}. Bars and percentages are accuracies or shares.",
        alt=f"Circuit from top to bottom: {steps}.",
        stages=tuple(stages),
    )


def _thinned(rows: tuple[Measured, ...], most: int = 6) -> tuple[Measured, ...]:
    """A long window keeps its first and last layers in the drawing and evenly spaced ones between."""
    if len(rows) <= most:
        return rows
    return tuple(rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most))


def _gauge(label: str, row: Measured) -> Gauge:
    return Gauge(label=label, fraction=row.value, text=percent(row.value))


def _with_interval(row: Measured) -> str:
    text = f"{row.number} {row.interval}".strip()
    return f"{text} (n = {row.count})" if row.count else text


def _span(word: str, *layers: int | None) -> str:
    """ "MLP 3", "MLPs 2 to 6", "layers 0, 1 and 4"."""
    found = sorted({layer for layer in layers if layer is not None})
    if len(found) == 1:
        return f"{word} {found[0]}"
    if len(layers) == 2 and word == "MLP":
        return f"{word}s {found[0]} to {found[1]}"
    return f"{word}s {_listed([str(layer) for layer in found])}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
