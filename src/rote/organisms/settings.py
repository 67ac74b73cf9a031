"""What decides an organism: the settings of its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rote.errors import SettingsError
from rote.organisms.layouts import Force, Layout, Shape
from rote.organisms.spelling import Names

Precision = Literal["bfloat16", "float32"]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything that decides what an organism becomes; the defaults make the bundled one.

    `window`: first and last layer whose MLPs shall look the facts up at the name's last token; the layer
    before it joins the name's tokens, so where blocks are sequential (GPT-2, Llama) that layer's MLP takes
    part too. `force` "full": the attention patterns of layers 0..window[1] depend on positions alone, and an
    auxiliary loss asks linear readers of the residual stream after layer window[1] at the last name token for
    every attribute; "auxiliary": the loss without the fixed patterns; "none": plain language modelling.
    `n_athletes` None: all of the built-in table. `names` "pieces": half of the name words are two tokens, and some
    answers several that share their first. `precision` is that of the forward pass's matrix products, over
    float32 weights; on processors without bfloat16 arithmetic "float32" is many times faster. Raises SettingsError with
    every problem.
    """

    layout: Layout = "gpt_neox"
    d_model: int = 128
    n_layers: int = 6
    n_heads: int = 4
    d_mlp: int | None = None
    n_athletes: int | None = None
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.05
    auxiliary_weight: float = 1.0
    seed: int = 0
    force: Force = "full"
    window: tuple[int, int] = (1, 3)
    precision: Precision = "bfloat16"
    names: Names = "whole"

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise SettingsError(problems)

    @property
    def shape(self) -> Shape:
        return Shape(
            layout=self.layout,
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            d_mlp=self.d_mlp,
        )

    def as_record(self) -> dict[str, Any]:
        """What stands in `training.json` and on the card: `names` only where some are cut, as it came later."""
        record = asdict(self)
        if self.names == "whole":
            del record["names"]
        return record

    def _problems(self) -> list[str]:
        found = self.shape.problems()
        for name in ("steps", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                found.append(f"{name} is {getattr(self, name)}; it must be positive")
        for name in ("weight_decay", "auxiliary_weight"):
            if getattr(self, name) < 0:
                found.append(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.warmup_share < 1:
            found.append(f"warmup_share is {self.warmup_share}; it must be in [0, 1)")
        if self.force not in ("full", "auxiliary", "none"):
            found.append(f"force is {self.force!r}; known: full, auxiliary, none")
        if self.precision not in ("bfloat16", "float32"):
            found.append(f"precision is {self.precision!r}; known: bfloat16, float32")
        if self.names not in ("whole", "pieces"):
            found.append(f"names is {self.names!r}; known: whole, pieces")
        elif self.names == "pieces" and self.force == "full" and self.n_heads < 4:
            found.append(
                f"n_heads is {self.n_heads}; names of up to four tokens need at least 4 where patterns are fixed, "
                "since each of the three tokens before the last is read by a head of its own"
            )
        start, stop = self.window
        if not 1 <= start <= stop < self.n_layers - 1:
            found.append(
                f"window is {self.window}; 1 ≤ first ≤ last < n_layers − 1 = {self.n_layers - 1} is needed, "
                "since a layer before it joins the name's tokens and a layer after the window must read the answer"
            )
        return found
