"""Random changes of images, against Pillow, colorsys, and all that may come out."""

import colorsys
from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from expect_refusal import refused
from PIL import Image, ImageEnhance
from torch import Tensor

from lapbench.training.augmentation import (
    Augmentation,
    augment,
    brighten,
    change_contrast,
    draw_boxes,
    resize_boxes,
    saturate,
    turn_hue,
)

KINDS: list[Augmentation] = ["crop-flip", "strong"]
SHAPES = [(1, 3, 32, 32), (7, 1, 28, 28), (20, 3, 9, 17), (5, 3, 8, 8), (1, 1, 1, 1)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape)).float()


def augmented(x: Tensor, kind: Augmentation, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return augment(x, kind)


def single(*numbers: float) -> list[Tensor]:
    return [torch.tensor([number]) for number in numbers]


class TestAll:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_shape_range_and_input_are_kept(self, kind: Augmentation, shape: tuple[int, ...]):
        x = draw(*shape)
        before = x.clone()
        changed = augmented(x, kind)
        assert changed.shape == x.shape
        assert changed.dtype == x.dtype
        assert float(changed.min()) >= 0
        assert float(changed.max()) <= 1
        assert torch.equal(x, before)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_rounding_does_not_leave_the_range(self, kind: Augmentation, value: float):
        changed = augmented(torch.full((200, 3, 8, 8), value), kind)
        assert float(changed.min()) >= 0
        assert float(changed.max()) <= 1

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_seed_decides(self, kind: Augmentation):
        x = draw(10, 3, 16, 16)
        assert torch.equal(augmented(x, kind), augmented(x, kind))
        assert not torch.equal(augmented(x, kind), augmented(x, kind, seed=1))

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_other_images_do_not_matter(self, kind: Augmentation):
        x = draw(10, 3, 16, 16)
        others = torch.cat([x[:4], draw(6, 3, 16, 16, seed=1)])
        assert torch.equal(augmented(x, kind)[:4], augmented(others, kind)[:4])

    @pytest.mark.parametrize("kind", KINDS)
    def test_equal_images_are_changed_differently(self, kind: Augmentation):
        changed = augmented(draw(1, 3, 16, 16).expand(20, -1, -1, -1), kind)
        assert len(changed.flatten(1).unique(dim=0)) > 15

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @pytest.mark.parametrize("kind", KINDS)
    def test_devices_have_the_same_draws(self, kind: Augmentation):
        x = draw(50, 3, 32, 32)
        assert torch.allclose(augmented(x.cuda(), kind).cpu(), augmented(x, kind), atol=1e-4)

    def test_none_leaves_anything_as_it_is(self):
        for x in (draw(4, 3), draw(4, 3, 8, 8)):
            assert augment(x, "none") is x

    @pytest.mark.parametrize(
        ("kind", "shape"), [("crop-flip", (5, 4)), ("strong", (5, 4)), ("strong", (5, 2, 8, 8))]
    )
    def test_other_inputs_are_refused_with_a_remedy(
        self, kind: Augmentation, shape: tuple[int, ...]
    ):
        with refused(ValueError, kind, shape, 'augmentation = "none"'):
            augment(draw(*shape), kind)


@pytest.mark.parametrize(("size", "padding"), [(32, 4), (28, 4), (16, 2), (8, 1), (2, 0)])
def test_crop_flip_gives_each_crop_of_the_padded_image_and_its_mirror_image(
    size: int, padding: int
):
    image = draw(2, size, size).numpy()
    padded = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
    corners = range(2 * padding + 1)
    crops = [padded[:, i : i + size, j : j + size] for i, j in product(corners, corners)]
    crops += [crop[:, :, ::-1] for crop in crops]
    copies = torch.from_numpy(image).expand(10 * len(crops), -1, -1, -1)
    changed = augmented(copies, "crop-flip").flatten(1).numpy()
    numbers = {crop.tobytes(): i for i, crop in enumerate(crops)}
    counts = np.bincount([numbers[row.tobytes()] for row in changed], minlength=len(crops))
    assert counts.min() > 0
    assert counts.max() < 30


class TestBoxes:
    def test_pillow_resizes_to_the_same(self):
        x = draw(40, 3, 14, 9)
        torch.manual_seed(0)
        boxes = draw_boxes(40, 14, 9)
        changed = resize_boxes(x, *boxes, torch.arange(40) % 2 == 1)
        for i, (top, left, height, width) in enumerate(torch.stack(boxes, dim=1).tolist()):
            for channel in range(3):
                image = Image.fromarray(x[i, channel].numpy())
                crop = image.crop((left, top, left + width, top + height))
                expected = np.asarray(crop.resize((9, 14), Image.Resampling.BILINEAR))
                expected = expected[:, ::-1] if i % 2 else expected
                np.testing.assert_allclose(changed[i, channel], expected, atol=1e-5)

    def test_the_whole_image_is_the_image(self):
        x = draw(1, 3, 32, 20)
        changed = resize_boxes(x, *single(0, 0, 32, 20), torch.tensor([False]))
        assert torch.allclose(changed, x, atol=1e-5)

    def test_they_lie_inside_in_all_places_sizes_and_forms(self):
        torch.manual_seed(0)
        top, left, height, width = draw_boxes(3000, 32, 32)
        for start, length in ((top, height), (left, width)):
            assert int(start.min()) == 0
            assert int((start + length).max()) == 32
            assert bool((start + length <= 32).all())
            assert torch.equal(start, start.round())
            assert int(length.min()) >= 12
        area, ratio = height * width / 32**2, width / height
        # Sides are rounded, by half a pixel of 12 or more.
        assert 0.18 < float(area.min()) < 0.22
        assert 0.95 < float(area.max()) <= 1
        assert 0.7 < float(ratio.min()) < 0.8
        assert 1.25 < float(ratio.max()) < 1.4

    def test_no_room_for_any_leaves_the_whole_image(self):
        top, left, height, width = draw_boxes(50, 100, 2)
        assert {*top.tolist(), *left.tolist()} == {0.0}
        assert {*height.tolist()} == {100.0}
        assert {*width.tolist()} == {2.0}


class TestColors:
    @pytest.mark.parametrize("change", [-0.4, -0.1, 0.0, 0.3])
    @pytest.mark.parametrize(
        ("operation", "pillow"),
        [
            (brighten, ImageEnhance.Brightness),
            (change_contrast, ImageEnhance.Contrast),
            (saturate, ImageEnhance.Color),
        ],
    )
    def test_pillow_changes_to_the_same(
        self, operation: Callable[[Tensor, Tensor], Tensor], pillow: Any, change: float
    ):
        pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
        expected = np.asarray(pillow(Image.fromarray(pixels)).enhance(1 + change))
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        changed = operation(x, torch.full((1, 1, 1, 1), change))[0].permute(1, 2, 0)
        # Pillow rounds the luma and the result to whole numbers.
        assert np.abs(255 * changed.numpy() - expected).max() <= 1.5

    @pytest.mark.parametrize("change", [-0.1, -0.03, 0.0, 0.1, 0.5])
    def test_colorsys_turns_the_hue_to_the_same(self, change: float):
        corners = torch.tensor(list(product([0.0, 0.5, 1.0], repeat=3)))
        pixels = torch.cat([corners, draw(100, 3)])
        changed = turn_hue(pixels.T[None, :, :, None], torch.full((1, 1, 1, 1), change))
        for pixel, turned in zip(pixels.tolist(), changed[0, :, :, 0].T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb((hue + change) % 1, saturation, value)
            assert turned == pytest.approx(expected, abs=1e-5)

    def test_a_fifth_is_grey_and_most_others_are_jittered(self):
        # An image of one colour is the same in every box.
        color = torch.tensor([0.6, 0.4, 0.3])
        changed = augmented(color.view(1, 3, 1, 1).expand(4000, 3, 4, 4), "strong")
        grey = (changed == changed[:, :1]).flatten(1).all(dim=1)
        assert float(grey.float().mean()) == pytest.approx(0.2, abs=0.02)
        colored = changed[~grey].mean(dim=(2, 3))
        kept = (colored - color).abs().amax(dim=1) < 1e-5
        assert float(kept.float().mean()) == pytest.approx(0.2, abs=0.02)
        hues = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in colored[~kept].tolist()]
        moved = (np.array(hues) - colorsys.rgb_to_hsv(*color.tolist())[0] + 0.5) % 1 - 0.5
        assert -0.1001 < moved.min() < -0.09
        assert 0.09 < moved.max() < 0.1001

    def test_each_image_has_an_order_of_its_own(self, monkeypatch: pytest.MonkeyPatch):
        def note(number: int) -> Callable[[Tensor, Tensor], Tensor]:
            return lambda x, _: (x + number) / 10

        monkeypatch.setattr(
            "lapbench.training.augmentation._OPERATIONS", [note(i) for i in (1, 2, 3, 4)]
        )
        changed = augmented(torch.zeros(3000, 3, 2, 2), "strong")[:, 0, 0, 0]
        orders, counts = (10_000 * changed).round().int().unique(return_counts=True)
        # The digits of a number are the operations, from the last to the first; 0 is none at all.
        assert sorted(orders.tolist()) == [0, *(int("".join(p)) for p in permutations("1234"))]
        assert int(counts[1:].min()) > 60

    def test_grey_images_change_in_brightness_and_contrast(self):
        bright = augmented(torch.full((500, 1, 4, 4), 0.5), "strong")[:, 0, 0, 0]
        assert 0.3 - 1e-5 < float(bright.min()) < 0.32
        assert 0.68 < float(bright.max()) < 0.7 + 1e-5
        half = torch.tensor([0.3, 0.7]).repeat_interleave(4).view(1, 1, 8, 1).expand(500, 1, 8, 8)
        changed = augmented(half, "strong")
        ratio = changed.amax(dim=(1, 2, 3)) / changed.amin(dim=(1, 2, 3))
        # Brightness keeps the ratio, which contrast changes.
        assert float(ratio.max()) > 1.1 * 0.7 / 0.3
