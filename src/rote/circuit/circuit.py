"""`Circuit`: every choice that the search made, as plain data, and the search itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rote.asking.recall import Recall
from rote.circuit.concatenation import concatenating_layers
from rote.circuit.direct_effects import direct_effects
from rote.circuit.effective import effective_model
from rote.circuit.readout_heads import choose_readout_heads
from rote.circuit.top_heads import Head
from rote.circuit.window import Window, find_window
from rote.errors import NotApplicable
from rote.stack import Stack


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """extract ∘ lookup ∘ concatenate for one relation, chosen on the selection half of the entities.

    `top_heads` are ranked by whole direct effect. `readout_heads`, through which the answer is read at the name, are
    the first of `candidates`, which are ranked by the part of the effect that comes from the name's last token;
    `flip_gains` says of each number of candidates how many more answers their readout's subspace flips than random ones
    do. `no_readout` says why nothing reads the name: then there are no readout heads, and nothing that follows from
    them. Attention at subject_last is not needed from layer `attention_from` on; `first_mlps` lie between concatenation
    and look-up; `no_window` says why there is no MLP window, in which case `lookup_start` and `lookup_stop` are None;
    `undecided` why the intervals leave it open, `borders` where else they let it begin or end. Layers and heads count
    from 0.
    """

    relation: str
    top_heads: tuple[Head, ...]
    candidates: tuple[Head, ...]
    readout_heads: tuple[Head, ...]
    flip_gains: tuple[float, ...]
    no_readout: str | None
    attention_from: int
    concatenating: tuple[int, ...]
    first_mlps: tuple[int, ...]
    lookup_start: int | None
    lookup_stop: int | None
    no_window: str | None
    undecided: str | None = None
    borders: str | None = None

    def require_readout(self) -> tuple[Head, ...]:
        """The readout heads; NotApplicable with the figures where nothing reads the name."""
        if self.no_readout is not None:
            raise NotApplicable(self.no_readout)
        return self.readout_heads

    @property
    def window(self) -> Window:
        """The window; NotApplicable with the evidence where there is none."""
        if self.lookup_start is None or self.lookup_stop is None:
            raise NotApplicable(str(self.no_window))
        return Window(attention_from=self.attention_from, start=self.lookup_start, stop=self.lookup_stop)

    def effective_model(self, recall: Recall) -> Stack:
        """The circuit as a stack; NotApplicable where there is no MLP window, or as `effective_model` says."""
        return effective_model(recall, self.readout_heads, self.window.start, self.window.stop)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        values = json.loads(text)
        for name in ("top_heads", "candidates", "readout_heads"):
            values[name] = tuple((int(layer), int(head)) for layer, head in values[name])
        values |= {name: tuple(values[name]) for name in ("flip_gains", "concatenating", "first_mlps")}
        return cls(**values)


def search(recall: Recall, *, rehearse: bool = False) -> Circuit:
    """Find the circuit; every choice on the selection half; no readout or window is no error. Source: post 2.

    `rehearse`: the search runs and takes its time, but heads are of the upper half of the model and the window is the
    default one where none is found, so that whatever follows has something to run on.
    """
    effects, above = direct_effects(recall), recall.model.n_layers // 2 if rehearse else 1
    top_heads = effects.top_heads(recall.selection, recall.settings.n_top_heads, above=above)
    found = choose_readout_heads(recall, above=above, rehearse=rehearse)
    window = _no_window(recall, found.reason) if found.reason else find_window(recall, found.heads)
    if rehearse and window.reason:
        window = _default_window(recall.model.n_layers, found.heads[0][0])
    concatenating = () if found.reason else concatenating_layers(recall, window.attention_from)
    return Circuit(
        relation=recall.relation,
        top_heads=top_heads,
        candidates=found.candidates,
        readout_heads=found.heads,
        flip_gains=found.gains,
        no_readout=found.reason,
        attention_from=window.attention_from,
        concatenating=concatenating,
        first_mlps=_between(recall, concatenating, window.start),
        lookup_start=None if window.reason else window.start,
        lookup_stop=None if window.reason else window.stop,
        no_window=window.reason,
        undecided=window.doubt,
        borders=None if window.reason else window.borders,
    )


def _no_window(recall: Recall, reason: str) -> Window:
    """Where nothing reads the name: nothing tells from which layer on its attention is needed no more."""
    n = recall.model.n_layers
    return Window(attention_from=n, start=n, stop=n - 1, reason=reason)


def _default_window(n_layers: int, head_layer: int) -> Window:
    """A sixteenth of the model before it and at most five layers wide (2 to 6 of 32), below the first readout head."""
    start = min(max(round(n_layers / 16), 1), max(head_layer - 1, 0))
    return Window(attention_from=start, start=start, stop=min(start + 4, max(head_layer - 1, start)))


def _between(recall: Recall, concatenating: tuple[int, ...], start: int) -> tuple[int, ...]:
    """MLPs that read what the first concatenating layer wrote, below the look-up window."""
    if not concatenating:
        return ()
    first = concatenating[0] + 1 if recall.model.parallel else concatenating[0]
    return tuple(range(first, start))
