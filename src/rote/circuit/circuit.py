"""`Circuit`: every choice that the search made, as plain data, and the search itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rote.asking.recall import Recall
from rote.circuit.concatenation import concatenating_layers
from rote.circuit.direct_effects import direct_effects
from rote.circuit.effective import effective_model
from rote.circuit.extraction import choose_readout
from rote.circuit.top_heads import Head
from rote.circuit.window import Window, find_window
from rote.errors import NotApplicable
from rote.stack import Stack


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """extract ∘ lookup ∘ concatenate for one relation, chosen on the selection half of the entities.

    `top_heads` are ranked by direct effect, the first `n_readout_heads` of them are read through; attention at
    subject_last is not needed from layer `attention_from` on; `first_mlps` lie between concatenation and look-up;
    `no_window` says why there is no MLP window, in which case `lookup_start` and `lookup_stop` are None. Layers and
    heads count from 0.
    """

    relation: str
    top_heads: tuple[Head, ...]
    n_readout_heads: int
    attention_from: int
    concatenating: tuple[int, ...]
    first_mlps: tuple[int, ...]
    lookup_start: int | None
    lookup_stop: int | None
    no_window: str | None

    @property
    def readout_heads(self) -> tuple[Head, ...]:
        return self.top_heads[: self.n_readout_heads]

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
        values["top_heads"] = tuple((int(layer), int(head)) for layer, head in values["top_heads"])
        values |= {name: tuple(values[name]) for name in ("concatenating", "first_mlps")}
        return cls(**values)


def search(recall: Recall, *, rehearse: bool = False) -> Circuit:
    """Find the circuit; every choice on the selection half; no window is no error. Source: Fact Finding, post 2.

    `rehearse`: the search runs and takes its time, but heads are of the upper half of the model and the window is the
    default one where none is found, so that whatever follows has something to run on.
    """
    effects, above = direct_effects(recall), recall.model.n_layers // 2 if rehearse else 1
    heads = effects.top_heads(recall.selection, recall.settings.n_top_heads, above=above)
    n_readout, _ = choose_readout(recall, heads)
    window = find_window(recall, heads[:n_readout])
    if rehearse and window.reason:
        window = _default_window(recall.model.n_layers, heads[0][0])
    concatenating = concatenating_layers(recall, window.attention_from)
    return Circuit(
        relation=recall.relation,
        top_heads=heads,
        n_readout_heads=n_readout,
        attention_from=window.attention_from,
        concatenating=concatenating,
        first_mlps=_between(recall, concatenating, window.start),
        lookup_start=None if window.reason else window.start,
        lookup_stop=None if window.reason else window.stop,
        no_window=window.reason,
    )


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
