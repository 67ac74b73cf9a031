"""The four pictures of post 4: what a network makes of a plane in which few points have a colour to be learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rote.statistics import rng

N_SQUARES = 3
N_POINTS = 36
AGREEMENT = 0.9
EXCEPTIONS = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """Points of the square [−1, 1]² and one or two colours for each."""

    points: Float[np.ndarray, "point 2"]
    colours: Bool[np.ndarray, "point fact"]


@dataclass(frozen=True, kw_only=True)
class PictureTraining:
    """Adam on all points, one hidden layer of ReLU; the map is read off on side × side places."""

    widths: tuple[int, ...] = (8, 64)
    n_seeds: int = 2
    steps: int = 1500
    learning_rate: float = 0.05
    side: int = 40


def random_colours(generator: np.random.Generator) -> Picture:
    """A few points with colours by the throw of a coin."""
    points = generator.uniform(-1, 1, (N_POINTS, 2))
    return Picture(points=points, colours=generator.random((N_POINTS, 1)) < 0.5)


def checkerboard_3(generator: np.random.Generator) -> Picture:
    """Points all over a board of 3 × 3 squares, with the colour of their square."""
    points = generator.uniform(-1, 1, (4 * N_POINTS, 2))
    squares = np.floor((points + 1) / 2 * N_SQUARES).astype(int)
    return Picture(points=points, colours=(squares.sum(1, keepdims=True) % 2) == 1)


def checkerboard_with_exceptions(generator: np.random.Generator) -> Picture:
    """The same board, but a tenth of the points have the other colour."""
    board = checkerboard_3(generator)
    n_exceptions = round(EXCEPTIONS * len(board.points))
    flipped = generator.permutation(len(board.points))[:n_exceptions]
    colours = board.colours.copy()
    colours[flipped] = ~colours[flipped]
    return Picture(points=board.points, colours=colours)


def two_correlated_facts(generator: np.random.Generator) -> Picture:
    """Two colours for each of a few points, the second like the first for nine in ten of them."""
    first = random_colours(generator)
    differs = generator.permutation(N_POINTS) < round((1 - AGREEMENT) * N_POINTS)
    return Picture(points=first.points, colours=np.column_stack([first.colours[:, 0], first.colours[:, 0] ^ differs]))


PICTURES: dict[str, Callable[[np.random.Generator], Picture]] = {
    "random_colours": random_colours,
    "checkerboard_3": checkerboard_3,
    "checkerboard_with_exceptions": checkerboard_with_exceptions,
    "two_correlated_facts": two_correlated_facts,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """`maps`: a row per network, fact and place of the plane, with the probability of the first colour.

    `points`: a row per point and fact. `accuracy`: a row per network, its accuracy on the points, and for two facts
    the share of the plane in which its two colours agree.
    """

    maps: pd.DataFrame
    points: pd.DataFrame
    networks: pd.DataFrame


def draw(name: str, training: PictureTraining, seed: int) -> Drawn:
    """Train networks of every width and seed on one picture."""
    picture = PICTURES[name](rng(seed, "toy_picture", name))
    maps, networks = [], []
    places = _places(training.side)
    for width in training.widths:
        probabilities, right = _learn(picture, width, training, places, seed, name)
        for s in range(training.n_seeds):
            black = probabilities[s] > 0.5
            agree = float((black[:, 0] == black[:, -1]).mean()) if black.shape[1] == 2 else None
            networks.append(
                {"picture": name, "width": width, "network": s, "accuracy": float(right[s]), "facts_agree": agree}
            )
            for fact in range(black.shape[1]):
                maps.append(
                    pd.DataFrame(
                        {
                            "picture": name,
                            "width": width,
                            "network": s,
                            "fact": fact,
                            "x": places[:, 0],
                            "y": places[:, 1],
                            "probability": probabilities[s, :, fact].round(4),
                        }
                    )
                )
    points = pd.concat(
        [
            pd.DataFrame(
                {
                    "picture": name,
                    "fact": fact,
                    "x": picture.points[:, 0],
                    "y": picture.points[:, 1],
                    "colour": colour.astype(int),
                }
            )
            for fact, colour in enumerate(picture.colours.T)
        ]
    )
    return Drawn(maps=pd.concat(maps), points=points, networks=pd.DataFrame(networks))


def _places(side: int) -> Float[np.ndarray, "place 2"]:
    line = (np.arange(side) + 0.5) / side * 2 - 1
    return np.stack([part.ravel() for part in np.meshgrid(line, line)], axis=1)


def _learn(
    picture: Picture, width: int, training: PictureTraining, places: Float[np.ndarray, "place 2"], seed: int, name: str
) -> tuple[Float[np.ndarray, "network place fact"], Float[np.ndarray, " network"]]:
    """Probabilities over the plane, and accuracy on the points, of networks trained together."""
    n_facts = picture.colours.shape[1]
    drawn = [rng(seed, "toy_picture", f"{name}/{width}/{s}") for s in range(training.n_seeds)]
    start = [  # hinges anywhere in the square, not all through its middle
        (g.standard_normal((2, width)) * 2, g.uniform(-2, 2, width), g.standard_normal((width, n_facts)) / width**0.5)
        for g in drawn
    ]
    w, b, out = (
        torch.tensor(np.stack(part), dtype=torch.float32, requires_grad=True) for part in zip(*start, strict=True)
    )
    bias = torch.zeros(training.n_seeds, n_facts, requires_grad=True)

    def logits(points: Float[np.ndarray, "point 2"]) -> Tensor:
        x = torch.tensor(points, dtype=torch.float32).expand(training.n_seeds, -1, -1)
        return torch.baddbmm(bias.unsqueeze(1), F.relu(torch.baddbmm(b.unsqueeze(1), x, w)), out)

    sign = 1 - 2 * torch.tensor(picture.colours, dtype=torch.float32)
    optimiser = torch.optim.Adam([w, b, out, bias], lr=training.learning_rate)
    for step in range(training.steps):
        loss = F.softplus(logits(picture.points) * sign).mean((1, 2)).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.param_groups[0]["lr"] = training.learning_rate * (1 - step / training.steps)
        optimiser.step()
    with torch.no_grad():
        right = ((logits(picture.points) > 0) == torch.tensor(picture.colours)).double().mean((1, 2))
        return torch.sigmoid(logits(places)).double().numpy(), right.numpy()
