"""Pretraining of a backbone without labels, the same for every method."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from lapbench.datasets.base.task import Task
from lapbench.datasets.base.validated import validated
from lapbench.errors import LapbenchError
from lapbench.methods.base.budget import Budget, NotNegative, Schedule
from lapbench.seeds import Seeds
from lapbench.training.augmentation import augment
from lapbench.training.state import State
from lapbench.training.steps import DivergedError, make_optimizer


@validated
class SimCLR(Budget):
    """Contrastive learning of a backbone before the training, by two views of each image.

    A budget of its own, with other defaults: those of the SimCLR command in the README of the
    repository HobbitLong/SupContrast, without its warm-up. It gives 1,000 epochs.

    Args:
        epochs: passes over the training images.
        augmentation: that makes the views.
        temperature: τ of the loss.
        projection_size: of the output of the two linear layers that stand on the backbone in
            pretraining, with ReLU between them and the backbone's feature size inside.

    Source: Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020; GLL paper, appendix A, which does not give its settings.

    """

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)] = 1024
    optimizer: Literal["adam", "sgd", "nesterov"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    schedule: Schedule = "cosine"
    weight_decay: NotNegative = 1e-4
    augmentation: Literal["crop-flip", "strong"] = "strong"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    projection_size: Annotated[int, Field(ge=1)] = 128

    def __str__(self) -> str:
        return f"SimCLR at temperature {self.temperature:g}, {super().__str__()}"


def pretrain(
    backbone: nn.Module,
    task: Task,
    simclr: SimCLR,
    seeds: Seeds,
    mixed_precision: bool = False,
    on_epoch: Callable[[int, float], None] = lambda *_: None,
    saved: State | None = None,
    save: Callable[[Callable[[], State]], None] = lambda _: None,
) -> list[float]:
    """Train a backbone by SimCLR on all training images, and return the loss of each epoch.

    Labels play no part. The projection is thrown away. An image that is alone in the last batch
    of an epoch, and has nothing to be told from, is left out of it. Torch's generator is as before.

    Args:
        backbone: on the device of the task; changed in place.
        task: one of images in [0, 1].
        simclr: the settings.
        seeds: streams "simclr order" and "simclr projection", and torch's own generator, set anew
            for each batch by "simclr torch 0", "simclr torch 1", …
        mixed_precision: whether the backbone computes in bfloat16 where autocast does.
        on_epoch: called after every epoch, from 1, with its loss.
        saved: what an interrupted pretraining of the same backbone saved; it goes on after that
            epoch.
        save: called after every epoch with what makes the state to be saved.

    Raises:
        DivergedError: if a loss is NaN or infinite.
        LapbenchError: if inputs are no images in [0, 1], or fewer than two.

    """
    _check(task)
    with torch.random.fork_rng():
        torch.manual_seed(seeds.integer("simclr projection"))
        network = nn.Sequential(backbone, _projection(backbone, simclr)).to(task.train.x.device)
        optimizer = make_optimizer(list(network.parameters()), simclr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, simclr.rate_factor)
        network.train()
        trained: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
        losses: list[float] = []
        if saved:
            losses += saved["losses"]
            for name, part in trained.items():
                part.load_state_dict(saved[name])
        for number in range(len(losses) + 1, simclr.epochs + 1):
            loss = _epoch(network, optimizer, task.train.x, simclr, seeds, number, mixed_precision)
            schedule.step()
            losses.append(loss)
            on_epoch(number, loss)
            save(lambda: _states(trained) | {"losses": losses})
    return losses


def _states(trained: dict[str, Any]) -> State:
    return {name: part.state_dict() for name, part in trained.items()}


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """The SimCLR loss of pairs that are told from all others by cosine similarity.

    L = 1/(2m) Σ_i −log( exp(g(z_i, z_j)/τ) / Σ_{k≠i} exp(g(z_i, z_k)/τ) ) for the partner j of i
    and g(a, b) = aᵀb / (‖a‖ ‖b‖). It is 0 for a single pair, and does not change with the lengths
    of the z_i.

    Args:
        z: (2m, d); rows 2k and 2k + 1, counted from 0, are the views of image k.
        temperature: τ > 0.

    Raises:
        ValueError: if z are no pairs.

    Source: GLL paper, eq. 46.

    """
    if z.ndim != 2 or not len(z) or len(z) % 2:
        raise ValueError(
            f"nt_xent: received z {tuple(z.shape)}; must be (2m, d), the two views of an image "
            "in successive rows"
        )
    unit = normalize(z, dim=1)
    similarity = unit @ unit.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    of_others = similarity.masked_fill(itself, -math.inf).logsumexp(dim=1)
    of_partner = (unit[0::2] * unit[1::2]).sum(dim=1) / temperature
    return of_others.mean() - of_partner.mean()  # GLL eq. 46


def _check(task: Task) -> None:
    images = not task.nodes_only and len(task.input_shape) == 3 and task.bounds == (0.0, 1.0)
    if not images or len(task.train) < 2:
        raise LapbenchError(
            f"simclr: received {len(task.train)} training inputs of shape {task.input_shape} in "
            f"{task.bounds} from {task.name}; must be two or more images (channels, height, width) "
            "in (0.0, 1.0); leave simclr out for other data"
        )


def _projection(backbone: nn.Module, simclr: SimCLR) -> nn.Module:
    size = int(backbone.feature_size)  # type: ignore[arg-type]
    return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, simclr.projection_size))


def _epoch(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    simclr: SimCLR,
    seeds: Seeds,
    number: int,
    mixed_precision: bool,
) -> float:
    """Pass once over images and return the mean loss over them."""
    order = torch.from_numpy(seeds.stream("simclr order", number).permutation(len(x)))
    total, images = 0.0, 0
    for i, rows in enumerate(order.split(simclr.batch_size)):
        if len(rows) == 1:
            continue
        torch.manual_seed(seeds.integer(f"simclr torch {i}", number))
        twice = rows.repeat_interleave(2).to(x.device)
        views = augment(x[twice], simclr.augmentation)
        loss = _step(network, optimizer, views, simclr.temperature, mixed_precision)
        if not math.isfinite(loss):
            raise DivergedError(
                f"pretraining, epoch {number}: the loss is {loss}; lower simclr.learning_rate"
            )
        total += len(rows) * loss
        images += len(rows)
    return total / images


def _step(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    views: Tensor,
    temperature: float,
    mixed_precision: bool,
) -> float:
    """Make one optimiser step on pairs of views and return its loss."""
    backbone, projection = network
    with torch.autocast(views.device.type, torch.bfloat16, enabled=mixed_precision):
        features = backbone(views)
    loss = nt_xent(projection(features.float()), temperature)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
