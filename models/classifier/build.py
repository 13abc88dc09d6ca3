"""Trains the network on a synthetic data set: ten measurements in three classes that overlap a little."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from worker.models.build import Build

from .network import SimpleClassifier

_SEED = 42
_ROWS = 6000
_TRAINING_ROWS = 4800
_STEPS = 300


def build(folder: Path) -> Build:
    torch.manual_seed(_SEED)
    features, classes = _measurements()
    network = SimpleClassifier(input_dim=10, hidden_dim=64, output_dim=3)
    _train(network, features[:_TRAINING_ROWS], classes[:_TRAINING_ROWS])
    torch.save(network.state_dict(), folder / "model.pt")
    accuracy = _accuracy(network, features[_TRAINING_ROWS:], classes[_TRAINING_ROWS:])
    return Build("model.pt", metrics={"held_out_accuracy": round(accuracy, 4)})


def _measurements() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows around one of two centres per class, so that no linear boundary separates the classes."""
    centres = torch.randn(3, 2, 10)
    classes = torch.randint(3, (_ROWS,))
    sides = torch.randint(2, (_ROWS,))
    return centres[classes, sides] + 0.8 * torch.randn(_ROWS, 10), classes


def _train(network: nn.Module, features: torch.Tensor, classes: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
    network.train()
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(features), classes)
        loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
        optimizer.step()


def _accuracy(network: nn.Module, features: torch.Tensor, classes: torch.Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        return float((network(features).argmax(dim=1) == classes).double().mean())
