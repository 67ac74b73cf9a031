"""`Recording`: a clean forward pass, kept so that blocks can be run again, also from some position on only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from rote.model.activations import Activations
from rote.model.attention import KeyValue, keeping
from rote.model.hooks import Stop


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """The residual stream before every block and after the last, each block's keys, values and call arguments.

    `read` is what `Model.record` was asked to read on the way; a selection of rows has none of it.
    """

    resid_pre: tuple[Float[Tensor, "row pos d_model"], ...]
    resid_post: Float[Tensor, "row pos d_model"]
    keys_values: tuple[KeyValue, ...]  # each (row, key–value head, pos, d_head), as they enter the dot product
    arguments: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    read: Activations = field(default_factory=lambda: Activations({}))

    @property
    def n_rows(self) -> int:
        return int(self.resid_post.shape[0])

    @property
    def n_positions(self) -> int:
        return int(self.resid_post.shape[1])

    def take(self, rows: Int[Tensor, " new_row"]) -> Recording:
        """The recording of a selection, or a repetition, of its rows."""
        return Recording(
            resid_pre=tuple(x[rows] for x in self.resid_pre),
            resid_post=self.resid_post[rows],
            keys_values=tuple((k[rows], v[rows]) for k, v in self.keys_values),
            arguments=tuple((_rows(a, rows, self.n_rows), _rows(k, rows, self.n_rows)) for a, k in self.arguments),
        )

    def with_room(self, wide: Recording, n_positions: int) -> Recording:
        """The same rows, none of them padded, with room for `n_positions`: other tokens may go on behind a prefix.

        `wide` records one row at least that long, and gives the blocks' further arguments.
        """
        return Recording(
            resid_pre=self.resid_pre,
            resid_post=self.resid_post[:, :1].expand(-1, n_positions, -1),
            keys_values=self.keys_values,
            arguments=tuple(_until_position(arguments, n_positions, wide.n_positions) for arguments in wide.arguments),
        )

    def resid(self, layer: int, rows: Tensor | None, first: int) -> Float[Tensor, "new_row suffix d_model"]:
        """The residual stream before a block (`n_layers`: after the last) of some rows, from position `first` on.

        Layers and positions count from 0.
        """
        x = (*self.resid_pre, self.resid_post)[layer][:, first:]  # a view: whoever writes into it copies first
        return x if rows is None else x[rows.to(x.device)]

    def prefix(self, layer: int, rows: Tensor | None, first: int) -> KeyValue:
        """A block's keys and values of some rows at the positions before `first`."""
        key, value = (x[:, :, :first] for x in self.keys_values[layer])
        return (key, value) if rows is None else (key[rows.to(key.device)], value[rows.to(value.device)])

    def call(self, layer: int, rows: Tensor | None, first: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A block's further arguments for some rows and the positions from `first` on."""
        arguments: Any = self.arguments[layer]
        if first:
            arguments = _from_position(arguments, first, self.n_positions)
        return arguments if rows is None else _rows(arguments, rows, self.n_rows)  # type: ignore[no-any-return]


@dataclass(eq=False)
class Recorder:
    """What a forward pass shows of its blocks, for a recording."""

    resid_pre: list[Tensor] = field(default_factory=list)
    resid_post: list[Tensor] = field(default_factory=list)
    keys_values: dict[int, KeyValue] = field(default_factory=dict)
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    @contextmanager
    def watching(self, blocks: nn.ModuleList, *, ends: bool) -> Iterator[None]:
        """Within this context passes are seen; `ends`: by `Stop` after the last block."""
        handles = [block.register_forward_pre_hook(self._enter, with_kwargs=True) for block in blocks]

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            self.resid_post.append(output_of(output))
            if ends:
                raise Stop

        handles.append(blocks[-1].register_forward_hook(leave))
        try:
            with keeping(self.keys_values):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = dict(kwargs)
        self.resid_pre.append(args[0] if args else rest.pop("hidden_states"))
        self.arguments.append((args[1:], rest))

    def recording(self, read: Activations) -> Recording:
        return Recording(
            resid_pre=tuple(self.resid_pre),
            resid_post=self.resid_post[0],
            keys_values=tuple(self.keys_values[layer] for layer in range(len(self.resid_pre))),
            arguments=tuple(self.arguments),
            read=read,
        )


def _rows(value: Any, rows: Tensor, n: int) -> Any:
    """Index whatever runs over the rows, in nested tuples and dicts; what broadcasts over rows stays."""
    # plain lists of positions have one dimension, and may be as long as there are rows; of a single row, broadcasting
    # makes as many copies as are wanted
    if isinstance(value, Tensor):
        return value[rows.to(value.device)] if value.dim() > 1 and value.shape[0] == n and n > 1 else value
    if isinstance(value, (tuple, list)):
        return type(value)(_rows(item, rows, n) for item in value)
    if isinstance(value, dict):
        return {key: _rows(item, rows, n) for key, item in value.items()}
    return value


def _from_position(value: Any, first: int, n: int) -> Any:
    """Cut whatever runs over the queries' positions, in nested tuples and dicts.

    Masks are (row, 1, query, key) and keep all keys; tables of rotary angles and position numbers have their
    positions behind the rows, plain lists of positions in front.
    """
    if isinstance(value, Tensor):
        dim = {4: 2, 3: 1, 2: 1, 1: 0}.get(value.dim())
        if dim is None or value.shape[dim] != n:
            return value
        return value.narrow(dim, first, n - first)
    if isinstance(value, (tuple, list)):
        return type(value)(_from_position(item, first, n) for item in value)
    if isinstance(value, dict):
        return {key: _from_position(item, first, n) for key, item in value.items()}
    return value


def _until_position(value: Any, stop: int, n: int) -> Any:
    """Cut whatever runs over positions before `stop`, keys as well as queries, in nested tuples and dicts."""
    if isinstance(value, Tensor):
        dims = {4: (2, 3), 3: (1,), 2: (1,), 1: (0,)}.get(value.dim(), ())
        for dim in (d for d in dims if value.shape[d] == n):
            value = value.narrow(dim, 0, stop)
        return value
    if isinstance(value, (tuple, list)):
        return type(value)(_until_position(item, stop, n) for item in value)
    if isinstance(value, dict):
        return {key: _until_position(item, stop, n) for key, item in value.items()}
    return value


def output_of(block_output: Any) -> Tensor:
    """The residual stream that a block has put out, alone or first among several things."""
    result: Tensor = block_output[0] if isinstance(block_output, tuple) else block_output
    return result
