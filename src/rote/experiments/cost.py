"""What an experiment takes, counted in what `--dry-run` has measured the price of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rote.settings import Settings

WINDOW = 3  # layers of a look-up window, as far as nobody has looked


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Parts of the work, each counted.

    Attributes:
        blocks: prompts times blocks of the model that they pass; name-only prompts count by their share of tokens.
        splits: of a probe, on the model.
        names: names that every MLP of a stack is run on.
        stack_splits: of a probe, on a stack.
        tokens, context: of running text through the whole model, in contexts of so many.
        seconds: what is known in seconds.
    """

    blocks: float = 0.0
    splits: float = 0.0
    names: float = 0.0
    stack_splits: float = 0.0
    tokens: float = 0.0
    context: int = 1
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What costs depend on. It is assumed that every fact is known and that the heads read two thirds up the model.

    `short`: the share of a prompt's tokens that the name alone has. `reading`: where a text is read.
    """

    n_facts: int
    n_classes: int
    n_relations: int
    n_layers: int
    n_heads: int
    n_neurons: int
    short: float
    settings: Settings
    reading: Any = None

    @property
    def sample(self) -> int:
        """Entities of the report half that are looked at."""
        return min(self.settings.max_entities, max(self.n_facts // 2, 1))

    @property
    def draws(self) -> int:
        """Passes of both kinds of ablation: one of the mean, the others resampled."""
        return 1 + self.settings.n_resamples_ablation

    @property
    def product(self) -> int:
        """Cells of a product of names."""
        return int(min(self.settings.product_names, self.sample) ** 2)

    @property
    def read(self) -> int:
        """The layer, counted from 0, whose heads read the answer."""
        return max(2 * self.n_layers // 3, 1)

    @property
    def after(self) -> int:
        return self.n_layers - self.read

    @property
    def curve(self) -> float:
        """Blocks of all prompts run from each layer up to the readers."""
        return (self.read + 1) * self.read / 2 * self.n_facts
