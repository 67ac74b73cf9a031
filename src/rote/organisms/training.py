"""Trains an organism: a small language model in ordinary Hugging Face files whose facts, and their place, are
known."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rote.errors import MeasurementError
from rote.organisms.card import model_card
from rote.organisms.documents import (
    IGNORED,
    Batch,
    Canary,
    Reader,
    auxiliary_targets,
    make_canaries,
    vocabulary,
)
from rote.organisms.force import Fixed, position_only
from rote.organisms.layouts import build_model
from rote.organisms.settings import Precision, TrainSettings
from rote.organisms.tokenizer import build_tokenizer, save_tokenizer
from rote.organisms.world import World, build_world

ROW_LENGTH = 64
CLIP_NORM = 1.0
BETAS = (0.9, 0.98)


@dataclass(frozen=True, kw_only=True)
class TrainedOrganism:
    """A finished training: where the files are, and the share of right answers (argmax over the whole
    vocabulary)."""

    folder: Path
    accuracy: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What `train` reports as it goes: losses in nats, means over the last steps."""

    step: int
    steps: int
    loss_nats: float
    auxiliary_nats: float | None


def train(
    settings: TrainSettings,
    folder: str | Path,
    progress: Callable[[Progress], None] | None = None,
    *,
    world: World | None = None,
) -> TrainedOrganism:
    """Trains an organism and writes it to `folder`: model, tokenizer, card, facts, canaries and the
    training's record.

    The same settings give the same rows and the same fresh weights; the trained weights then agree up to the
    arithmetic of the machine. Torch's global generator is left as it was. Raises SettingsError before any
    work, and MeasurementError when the loss stops being finite.
    """
    started = time.perf_counter()
    if world is None:
        world = build_world(n_athletes=settings.n_athletes, names=settings.names, seed=settings.seed)
    canaries = make_canaries(settings.seed)
    tokenizer = build_tokenizer(vocabulary(world, canaries), cut=bool(world.spelled))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build_model(
            settings.shape,
            vocab_size=len(tokenizer),
            bos=tokenizer.bos_token_id,
            pad=tokenizer.pad_token_id,
        )
        readers = _AuxiliaryReaders(world, settings) if settings.force != "none" else None
        history = _fit(model, readers, _reader(world, canaries, tokenizer, settings), settings, progress)
    model.eval()
    accuracy = measure_accuracy(model, tokenizer, world)
    trained = TrainedOrganism(folder=Path(folder), accuracy=accuracy, seconds=time.perf_counter() - started)
    _write(trained, settings, world, canaries, model, tokenizer, history)
    return trained


@torch.no_grad()
def measure_accuracy(model: Any, tokenizer: Any, world: World) -> dict[str, float]:
    """Per relation the fraction of people whose answer is the likeliest continuation of `Fact: NAME …`, word by word
    (every token the argmax behind those before it), real people first.

    Keys are the relations' names, and `athletes.sport`, `athletes.league` for the real athletes alone.
    """
    right: dict[str, float] = {}
    real = {p.name for p in world.athletes}
    for relation in world.relations:
        asked = [p for p in world.people if relation.name in p.attributes]
        prompts = tokenizer([relation.template.format(p.name) for p in asked])["input_ids"]
        answers = tokenizer([f" {p.attributes[relation.name]}" for p in asked], add_special_tokens=False)["input_ids"]
        hits = _answered(model, prompts, answers)
        right[relation.name] = float(hits.mean())
        athletes = torch.as_tensor([p.name in real for p in asked])
        if athletes.any():
            right[f"athletes.{relation.name}"] = float(hits[athletes].mean())
    return right


def _answered(model: Any, prompts: Sequence[list[int]], answers: Sequence[list[int]], size: int = 512) -> Tensor:
    """1 where every token of the answer is the argmax, else 0; rows of the same lengths run together."""
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        alike.setdefault((len(prompt), len(answer)), []).append(i)
    hits = torch.zeros(len(prompts))
    for (_, n), members in alike.items():
        for rows in torch.split(torch.as_tensor(members), size):
            tokens = torch.as_tensor([prompts[i] + answers[i][:-1] for i in rows.tolist()])
            wanted = torch.as_tensor([answers[i] for i in rows.tolist()])
            hits[rows] = (model(tokens, logits_to_keep=n).logits.argmax(-1) == wanted).all(1).float()
    return hits


class _AuxiliaryReaders(nn.Module):
    """One linear reader per relation of the residual stream at the last name token; thrown away after
    training."""

    def __init__(self, world: World, settings: TrainSettings) -> None:
        super().__init__()
        targets = auxiliary_targets(world)
        self.readers = nn.ModuleDict({r.name: nn.Linear(settings.d_model, len(r.classes)) for r in world.relations})
        self.targets = {name: torch.as_tensor(t) for name, t in targets.items()}
        self.layer = settings.window[1]

    def forward(self, hidden_states: tuple[Tensor, ...], batch: Batch) -> Tensor:
        rows, positions = torch.as_tensor(batch.names).T
        who = torch.as_tensor(batch.people)
        residual = hidden_states[self.layer + 1][rows, positions].float()
        losses = []
        for name, reader in self.readers.items():
            target = self.targets[name][who]
            if (target != IGNORED).any():
                losses.append(F.cross_entropy(reader(residual), target, ignore_index=IGNORED))
        return torch.stack(losses).mean()


def _reader(world: World, canaries: tuple[Canary, ...], tokenizer: Any, settings: TrainSettings) -> Reader:
    return Reader(
        world,
        canaries,
        tokenizer.get_vocab(),
        steps=settings.steps,
        rows=settings.batch,
        length=ROW_LENGTH,
        bos=tokenizer.bos_token_id,
        pad=tokenizer.pad_token_id,
        seed=settings.seed,
    )


def _fit(
    model: Any,
    readers: _AuxiliaryReaders | None,
    rows: Reader,
    settings: TrainSettings,
    progress: Callable[[Progress], None] | None,
) -> list[dict[str, float | int | None]]:
    fixed: tuple[Fixed, ...] = ()
    if settings.force == "full":
        fixed = position_only(model, range(settings.window[1] + 1), joins=settings.window[0] - 1)
    parameters = [*model.parameters(), *(readers.parameters() if readers is not None else ())]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, betas=BETAS, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    trail = _Trail(settings, progress)
    model.train()
    for step in range(1, settings.steps + 1):
        main, auxiliary = _losses(model, readers, rows.batch(), settings.precision)
        optimizer.zero_grad()
        torch.autograd.backward(main + settings.auxiliary_weight * auxiliary)
        nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()
        schedule.step()
        for entry in fixed:
            entry.restore()
        trail.add(step, float(main.detach()), float(auxiliary.detach()))
    return trail.points


class _Trail:
    """The losses of the run, as means over a hundredth of it; refuses to go on when they are not finite."""

    def __init__(self, settings: TrainSettings, progress: Callable[[Progress], None] | None) -> None:
        self.points: list[dict[str, float | int | None]] = []
        self._settings, self._progress = settings, progress
        self._every = max(1, settings.steps // 100)
        self._since: list[tuple[float, float]] = []

    def add(self, step: int, main: float, auxiliary: float) -> None:
        if not math.isfinite(main + auxiliary):
            raise MeasurementError(f"the loss is not finite at step {step}; lower the learning rate")
        self._since.append((main, auxiliary))
        if step % self._every and step != self._settings.steps:
            return
        means = [sum(part) / len(self._since) for part in zip(*self._since, strict=True)]
        auxiliary_nats = means[1] if self._settings.force != "none" else None
        point = Progress(step=step, steps=self._settings.steps, loss_nats=means[0], auxiliary_nats=auxiliary_nats)
        self._since = []
        self.points.append(asdict(point))
        if self._progress is not None:
            self._progress(point)


def _losses(model: Any, readers: _AuxiliaryReaders | None, batch: Batch, precision: Precision) -> tuple[Tensor, Tensor]:
    tokens, labels = torch.as_tensor(batch.tokens), torch.as_tensor(batch.labels)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        out = model(tokens, output_hidden_states=readers is not None, use_cache=False)
    main = F.cross_entropy(out.logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    return main, torch.zeros(()) if readers is None else readers(out.hidden_states, batch)


def _rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then linear decay to zero."""
    warmup = max(1, round(settings.warmup_share * settings.steps))
    return min((step + 1) / warmup, (settings.steps - step) / max(1, settings.steps - warmup))


def _write(
    trained: TrainedOrganism,
    settings: TrainSettings,
    world: World,
    canaries: tuple[Canary, ...],
    model: Any,
    tokenizer: Any,
    history: list[dict[str, float | int | None]],
) -> None:
    folder = trained.folder
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder))
    (folder / "model.safetensors").chmod(0o644)  # it is written for its owner alone
    save_tokenizer(tokenizer, folder)
    record = {
        "settings": settings.as_record(),
        "accuracy": trained.accuracy,
        "seconds": round(trained.seconds, 1),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "n_people": len(world.people),
        "n_athletes": len(world.athletes),
        "n_fiction": len(world.fiction),
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")},
        "history": history,
    }
    _json(folder / "training.json", record)
    _json(folder / "facts.json", world.as_facts())
    _json(folder / "canaries.json", [asdict(c) for c in canaries])
    (folder / "README.md").write_text(model_card(settings, record, world), encoding="utf-8")


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
