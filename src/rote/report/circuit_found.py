"""The circuit of one relation, gathered from several experiments: what the lead and the drawing say."""

from __future__ import annotations

from dataclasses import dataclass

from rote.page.view import Measured, View

# a layer concatenates where ablating its attention at the name costs at least this share of the accuracy
CONCATENATES_BELOW = 0.9
# heads with at least this share of the largest effect are named
NAMED_SHARE = 0.34
_MAX_HEADS = 3


@dataclass(frozen=True, kw_only=True)
class CircuitFound:
    """What was found for one relation; every field is None or empty where nothing was measured."""

    relation: str | None
    n_facts: Measured | None
    n_known: Measured | None
    n_likely: Measured | None
    n_answers: Measured | None
    n_circuit_classes: Measured | None
    accuracy: Measured | None
    accuracy_cls: Measured | None
    best_guess: Measured | None
    concatenating: tuple[Measured, ...]
    concatenating_heads: tuple[Measured, ...]
    additive_r2: Measured | None
    start: int | None
    stop: int | None
    no_window_reasons: tuple[str, ...]
    undecided: str | None
    borders: str | None
    window_measured: bool
    no_readout: bool
    readout_before: Measured | None
    readout_through: tuple[Measured, ...]
    window_ablated: Measured | None
    additive: Measured | None
    heads: tuple[Measured, ...]
    head_attention: Measured | None
    effective: Measured | None
    shuffled: Measured | None
    classes: tuple[str, ...]
    example: tuple[str, str, str] | None

    @property
    def knows_any(self) -> bool:
        return self.n_known is None or self.n_known.value > 0

    @property
    def has_window(self) -> bool:
        return self.start is not None and self.stop is not None


def relations_found(view: View) -> tuple[str | None, ...]:
    """The relations to lead with: those with a circuit, else those whose facts were asked."""
    for experiment in ("lookup_window", "direct_effects", "known_facts"):
        named = tuple(r for r in view.relations(experiment) if r is not None)
        if named:
            return named
    return (None,)


def circuit_found(view: View, relation: str | None) -> CircuitFound:
    """Gather the rows; relation-free rows stand in where an experiment does not tell relations apart."""

    def one(experiment: str, statistic: str, **where: object) -> Measured | None:
        return view.one(experiment, statistic, relation=relation, **where) or view.one(
            experiment, statistic, relation=None, **where
        )

    def known(statistic: str) -> Measured | None:
        return one("known_facts", statistic, cls=None, condition="all") or one("known_facts", statistic, cls=None)

    start, stop = one("lookup_window", "lookup_start"), one("lookup_window", "lookup_stop")
    both = tuple(
        r
        for r in view.rows("readout", "readout_accuracy", relation=(relation, None), condition="both")
        if r.parameters.get("readout", "heads") == "heads" and r.parameters.get("ablation", "mean") == "mean"
    )
    first = int(start.value) if start else None
    last = int(stop.value) if stop else None
    guesses = [g for g in map(known, ("baseline_majority", "baseline_last", "baseline_first")) if g]
    layers = _concatenating(view, relation, first)
    heads = _readout_heads(view, relation)
    classes, example = _from_facts(view, relation)
    return CircuitFound(
        relation=relation,
        n_facts=known("n_facts"),
        n_known=known("n_known"),
        n_likely=known("n_known_probability"),
        n_answers=known("n_answers"),
        n_circuit_classes=known("n_circuit_classes"),
        accuracy=known("accuracy"),
        accuracy_cls=known("accuracy_cls"),
        best_guess=max(guesses, key=lambda g: g.value, default=None),
        concatenating=layers,
        concatenating_heads=_concatenating_heads(view, relation, {r.layer for r in layers}),
        additive_r2=one("concatenation", "concatenation_r2"),
        start=first if last is not None else None,
        stop=last if first is not None else None,
        no_window_reasons=tuple(
            dict.fromkeys(view.reasons("lookup_window", "lookup_start") + view.reasons("lookup_window", "lookup_stop"))
        ),
        undecided=" ".join(view.reasons("lookup_window", "window_decided")) or None if start else None,
        borders=" ".join(view.reasons("lookup_window", "borders_decided")) or None if start else None,
        window_measured=bool(view.rows("lookup_window")),
        # nothing was found to read the name, rather than: nothing was searched
        no_readout=not heads and bool(view.rows("direct_effects", "source_effect", relation=(relation, None))),
        readout_before=next((r for r in both if first is not None and r.layer == first - 1), None),
        readout_through=tuple(
            r
            for r in both
            if first is not None and last is not None and r.layer is not None and first <= r.layer <= last
        ),
        window_ablated=one("lookup_window", "window_mlps_ablated_accuracy", condition="mean"),
        additive=one("lookup_window", "additive_accuracy_held_out"),
        heads=heads,
        head_attention=next(
            (
                row
                for head in heads[:1]
                for row in view.rows(
                    "head_attention", "attention", layer=head.layer, head=head.head, position="subject_last"
                )
                if relation is None or (row.relation == relation and row.condition in (f"asked:{relation}", None))
            ),
            None,
        ),
        effective=one("effective_model", "effective_accuracy", condition="report"),
        shuffled=one("effective_model", "effective_accuracy", condition="shuffled"),
        classes=classes,
        example=example,
    )


def _concatenating(view: View, relation: str | None, start: int | None) -> tuple[Measured, ...]:
    rows = view.rows("concatenation", "attention_ablated_accuracy", relation=(relation, None), condition="mean")
    clean = view.one("concatenation", "patterns_frozen_accuracy", relation=(relation, None))
    reference = max([r.value for r in rows] + ([clean.value] if clean else []), default=0.0)
    early = tuple(r for r in rows if r.layer is not None and (start is None or r.layer <= start))
    return tuple(sorted((r for r in early if r.value < CONCATENATES_BELOW * reference), key=lambda r: r.layer or 0))


def _concatenating_heads(view: View, relation: str | None, layers: set[int | None]) -> tuple[Measured, ...]:
    rows = [r for r in view.rows("concatenation", "total_effect", relation=(relation, None)) if r.layer in layers]
    rows.sort(key=lambda r: -r.value)
    return tuple(r for r in rows[:_MAX_HEADS] if r.value > 0 and r.value >= NAMED_SHARE * rows[0].value)


def _readout_heads(view: View, relation: str | None) -> tuple[Measured, ...]:
    """The heads that the answer is read through, with what they bring from the name on the report half."""
    ranked = sorted(view.rows("direct_effects", "readout_head", relation=(relation, None)), key=lambda r: r.value)
    parts = view.rows(
        "direct_effects", "source_effect", relation=(relation, None), condition="report", position="subject_last"
    )
    effects = {(r.layer, r.head): r for r in parts}
    return tuple(effects.get((r.layer, r.head), r) for r in ranked)


def _from_facts(view: View, relation: str | None) -> tuple[tuple[str, ...], tuple[str, str, str] | None]:
    """The classes, and the best known entity with a name of two parts as the example in the drawing."""
    facts = view.table("known_facts", "facts")
    if facts is None or facts.empty:
        return (), None
    if relation is not None:
        facts = facts[facts["relation"] == relation]
    classes = tuple(str(c) for c in facts["cls"].value_counts().index)
    pairs = facts[(facts["n_name_tokens"] > 1) & facts["known"].astype(bool)]
    if pairs.empty or pairs[["first", "last"]].isna().any(axis=None):
        return classes, None
    best = pairs.sort_values(["prob", "entity"], ascending=[False, True]).iloc[0]
    return classes, (str(best["first"]).strip(), str(best["last"]).strip(), str(best["attribute"]))
