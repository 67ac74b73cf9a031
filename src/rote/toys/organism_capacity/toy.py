"""The capacity of organisms as shards: one for each organism of the grid, one over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from rote.organisms.capacity import CapacityGrid, OrganismSize, train_on_facts
from rote.records import Record, Shard
from rote.toys.organism_capacity.tables import NAME, member_record, over_organisms
from rote.toys.toy import ToyStage


class OrganismWork:
    """Lists the shards and does them."""

    def __init__(self, settings: CapacityGrid) -> None:
        self.settings = settings
        self._sizes = {_item(size): size for size in settings.members}

    @property
    def stages(self) -> tuple[ToyStage, ...]:
        organisms = [Shard(NAME, item) for item in self._sizes]
        return (
            ToyStage(name="training", shards=organisms, do=self.train),
            ToyStage(name="comparing", shards=[Shard(NAME)], do=self.compare, over=organisms),
        )

    def train(self, shard: Shard) -> Record:
        """One organism."""
        size = self._sizes[shard.item]
        return member_record(size, train_on_facts(self.settings, size))

    def compare(self, shard: Shard, records: Sequence[Record]) -> Record:
        """Means over seeds and exponents, from all organisms."""
        return over_organisms(self.settings, records)


def _item(size: OrganismSize) -> str:
    return f"d{size.d_model}_n{size.n_facts}_e{size.exposures}_s{size.seed}"
