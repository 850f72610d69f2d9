"""Random changes of images in training that keep their class."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from lapbench.attacks.base.loss import column

Augmentation = Literal["none", "crop-flip", "strong"]

_PADDING = 4 / 32
_MIRRORED = 0.5
_TRIES = 10
_AREA = (0.2, 1.0)
_RATIO = (3 / 4, 4 / 3)
_JITTERED = 0.8
_CHANGES = (0.4, 0.4, 0.4, 0.1)  # of brightness, contrast, saturation and hue
_GREYED = 0.2
_LUMA = (0.299, 0.587, 0.114)


def augment(x: Tensor, kind: Augmentation) -> Tensor:
    """Images of the same shape, each changed by draws of its own.

    ``"crop-flip"``: a border of 4 zeros for every 32 pixels (rounded), a crop of the original
    size at a random place, mirrored left to right with probability 1/2.

    ``"strong"``: a crop of 0.2 to 1 of the area with a ratio of width to height of 3/4 to 4/3,
    brought to the original size bilinearly; mirrored with probability 1/2; with probability 0.8
    brightness, contrast and saturation changed by up to ±40 % and hue by up to ±0.1 of the circle,
    in a random order; with probability 0.2 made grey. Grey images have no saturation and hue.

    Draws are of torch's CPU generator, so that they are the same on every device, and those of an
    image do not depend on the others. Of a seed, they are the same for the same number of images.

    Args:
        x: (n, c, h, w) in [0, 1], as the result is.
        kind: ``"none"``, ``"crop-flip"`` or ``"strong"``.

    Raises:
        ValueError: if x are no images, or neither grey nor RGB for ``"strong"``.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, section
    4.2; GLL paper, appendix A, which names the set of the repository HobbitLong/SupContrast.

    """
    if kind == "none":
        return x
    accepted = "images (n, c, h, w)" if kind == "crop-flip" else "images (n, 1 or 3, h, w)"
    if x.ndim != 4 or (kind == "strong" and x.shape[1] not in (1, 3)):
        raise ValueError(
            f"augmentation {kind!r}: received inputs of shape {tuple(x.shape)}; must be "
            f'{accepted}; use augmentation = "none" for other inputs'
        )
    if kind == "crop-flip":
        return _crop_of_padded(x)
    n, _, h, w = x.shape
    x = resize_boxes(x, *draw_boxes(n, h, w), torch.rand(n) < _MIRRORED)
    return _grey_some(_jitter_some(x)).clamp(0, 1)  # as rounding leaves the range


def _crop_of_padded(x: Tensor) -> Tensor:
    """Crops of the original size of x with a border of zeros, half of them mirrored."""
    n, c, h, w = x.shape
    above, left = round(_PADDING * h), round(_PADDING * w)
    rows = torch.randint(2 * above + 1, (n, 1)) + torch.arange(h)
    columns = torch.randint(2 * left + 1, (n, 1)) + torch.arange(w)
    columns = _mirror(columns, torch.rand(n) < _MIRRORED)
    return pad(x, (left, left, above, above))[
        torch.arange(n, device=x.device).view(n, 1, 1, 1),
        torch.arange(c, device=x.device).view(1, c, 1, 1),
        rows.view(n, 1, h, 1).to(x.device),
        columns.view(n, 1, 1, w).to(x.device),
    ]


def _mirror(columns: Tensor, mirrored: Tensor) -> Tensor:
    """Where each output column comes from (n, w), from the right where it is mirrored."""
    return torch.where(mirrored[:, None], columns.flip(1), columns)


def draw_boxes(n: int, h: int, w: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width (n,) of boxes in images of h × w pixels.

    Each is the first of ten that lies inside; where none does, it is the whole image.
    """
    area = h * w * torch.empty(n, _TRIES).uniform_(*_AREA)
    ratio = torch.empty(n, _TRIES).uniform_(*map(math.log, _RATIO)).exp()
    heights, widths = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    inside = (heights >= 1) & (heights <= h) & (widths >= 1) & (widths <= w)
    first = inside.int().argmax(dim=1, keepdim=True)
    fits = inside.any(dim=1)
    height = torch.where(fits, heights.gather(1, first)[:, 0], h)
    width = torch.where(fits, widths.gather(1, first)[:, 0], w)
    top = (torch.rand(n) * (h - height + 1)).floor()
    left = (torch.rand(n) * (w - width + 1)).floor()
    return top, left, height, width


def resize_boxes(
    x: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, mirrored: Tensor
) -> Tensor:
    """A box of each image (n, c, h, w) in the size of the image, bilinearly.

    Output pixel o comes from (o + 1/2) · box / size − 1/2 within its box: the edges of both are in
    one place, and nothing outside of the box is seen. Numbers of boxes are (n,), on the CPU.
    """
    n, _, h, w = x.shape
    rows = _unit(_positions(top, height, h), h)
    columns = _unit(_mirror(_positions(left, width, w), mirrored), w)
    grid = torch.stack(
        [columns[:, None, :].expand(n, h, w), rows[:, :, None].expand(n, h, w)], dim=3
    )
    resized: Tensor = grid_sample(x, grid.to(x), padding_mode="border", align_corners=False)
    return resized


def _positions(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where the pixels of an axis come from (n, size), in pixels of the original."""
    inside = (torch.arange(size) + 0.5) * (length[:, None] / size) - 0.5
    return start[:, None] + inside.clamp_min(0).minimum(length[:, None] - 1)


def _unit(positions: Tensor, size: int) -> Tensor:
    """Positions in pixels as ``grid_sample`` counts them: −1 and 1 are the outer edges."""
    return (2 * positions + 1) / size - 1


def _jitter_some(x: Tensor) -> Tensor:
    """Change the colours of images (n, c, h, w), of each in an order of its own."""
    n = len(x)
    chosen = torch.rand(n) < _JITTERED
    changes = (2 * torch.rand(n, len(_CHANGES)) - 1) * torch.tensor(_CHANGES)
    order = torch.rand(n, len(_CHANGES)).argsort(dim=1)
    operations = _OPERATIONS if x.shape[1] == 3 else _OPERATIONS[:2]
    x = x.clone()
    for place in order.T:
        for number, operation in enumerate(operations):
            rows = (chosen & (place == number)).nonzero()[:, 0]
            part = x[rows.to(x.device)]
            change = column(changes[rows, number].to(x), part)
            x[rows.to(x.device)] = operation(part, change)
    return x


def _grey_some(x: Tensor) -> Tensor:
    """Make some images grey, with all channels equal."""
    chosen = column((torch.rand(len(x)) < _GREYED).to(x.device), x)
    return torch.where(chosen, _grey(x), x)


def _grey(x: Tensor) -> Tensor:
    """The luma (n, 1, h, w) of ITU-R BT.601 of images (n, 1 or 3, h, w)."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _away_from(other: Tensor | float, x: Tensor, change: Tensor) -> Tensor:
    return (x + change * (x - other)).clamp(0, 1)


def brighten(x: Tensor, change: Tensor) -> Tensor:
    """Multiply images (n, c, h, w) by 1 + change (n, 1, 1, 1)."""
    return _away_from(0.0, x, change)


def change_contrast(x: Tensor, change: Tensor) -> Tensor:
    """Multiply by 1 + change how far images are from the mean of their luma."""
    return _away_from(_grey(x).mean(dim=(2, 3), keepdim=True), x, change)


def saturate(x: Tensor, change: Tensor) -> Tensor:
    """Multiply by 1 + change how far the channels of each pixel are from its luma."""
    return _away_from(_grey(x), x, change)


def turn_hue(x: Tensor, change: Tensor) -> Tensor:
    """Turn the hue of RGB images by a share of its circle; value and saturation of HSV stay.

    In sixths of the circle, hue is 0 at red, 2 at green and 4 at blue, and linear between them in
    the middle one of the channels.
    """
    red, green, blue = x.unbind(dim=1)
    low, high = x.amin(dim=1), x.amax(dim=1)
    spread = high - low
    divisor = torch.where(spread > 0, spread, 1)
    hue = torch.where(high == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(high == red, (green - blue) / divisor, hue)
    turned = (hue + 6 * change[:, 0])[:, None]
    steps = (turned + x.new_tensor([5, 3, 1]).view(1, 3, 1, 1)).remainder(6)
    drop = torch.minimum(steps, 4 - steps).clamp(0, 1)
    return high[:, None] - spread[:, None] * drop


_OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    brighten,
    change_contrast,
    saturate,
    turn_hue,
)
