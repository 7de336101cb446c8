"""Normalisation and the five fills, pixel by pixel."""

import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from auditor.data.filling import occlude_crop
from auditor.data.occlusion import normalise, occlude
from auditor.records import Preprocess

PREPROCESS = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5))
FILLS = ("mean", "black", "grey", "blur", "noise")


@pytest.fixture
def batch():
    """Pixels (4, 32, 32, 3), images, and masks that occlude the left half."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 32, 32, 3), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(4, 32, 32, dtype=torch.bool)
    masks[:, :, :16] = True
    return pixels, normalise(pixels, PREPROCESS), masks


def in_pixels(images):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PREPROCESS.mean, PREPROCESS.std))
    return images * std + mean


def test_normalise_by_hand(batch):
    pixels, images, _ = batch
    assert images.dtype == torch.float32
    for channel, (mean, std) in enumerate(zip(PREPROCESS.mean, PREPROCESS.std, strict=True)):
        value = (int(pixels[1, 5, 7, channel]) / 255 - mean) / std
        assert images[1, channel, 5, 7].item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("fill", FILLS)
def test_only_masked_pixels_change_and_the_input_stays(batch, fill):
    _, images, masks = batch
    before = images.clone()
    found = occlude(images, masks, fill, PREPROCESS)
    assert torch.equal(images, before)
    assert found.shape == images.shape
    assert torch.equal(found[:, :, :, 16:], images[:, :, :, 16:])
    assert not torch.isclose(found[:, :, :, :16], images[:, :, :, :16]).all()
    assert torch.equal(occlude(images, torch.zeros_like(masks), fill, PREPROCESS), images)


@pytest.mark.parametrize(("fill", "value"), [("black", 0.0), ("grey", 0.5)])
def test_constant_fills_in_pixel_space(batch, fill, value):
    _, images, masks = batch
    filled = in_pixels(occlude(images, masks, fill, PREPROCESS))[:, :, :, :16]
    torch.testing.assert_close(filled, torch.full_like(filled, value), atol=1e-6, rtol=0)


def test_mean_is_zero_after_normalisation(batch):
    _, images, masks = batch
    assert torch.equal(occlude(images, masks, "mean", PREPROCESS)[:, :, :, :16], torch.zeros(4, 3, 32, 16))


def test_blur_is_a_gaussian_of_the_image(batch):
    _, images, _ = batch
    everywhere = torch.ones(4, 32, 32, dtype=torch.bool)
    found = occlude(images, everywhere, "blur", PREPROCESS)[2, 1].double().numpy()
    sigma, reach = 2.0, 6  # 32 / 16, three deviations
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(images[2, 1].double().numpy(), reach, mode="reflect")
    for row, col in ((0, 0), (16, 16), (31, 5)):
        window = padded[row : row + 2 * reach + 1, col : col + 2 * reach + 1]
        assert found[row, col] == pytest.approx(weights @ window @ weights, abs=1e-5)


def test_noise_is_uniform_and_belongs_to_image_and_seed(batch):
    _, images, masks = batch
    found = occlude(images, masks, "noise", PREPROCESS)
    noise = in_pixels(found)[:, :, :, :16]
    assert noise.min() >= -1e-6
    assert noise.max() <= 1 + 1e-6
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    assert noise.var().item() == pytest.approx(1 / 12, abs=0.005)
    alone = torch.cat([occlude(images[i : i + 1], masks[i : i + 1], "noise", PREPROCESS) for i in (3, 1)])
    assert torch.equal(alone, found[[3, 1]])  # whatever else is in the batch
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(found, occlude(images, masks, "noise", PREPROCESS, seed=1))


@pytest.mark.parametrize("preprocess", [PREPROCESS, Preprocess()], ids=["coarse", "imagenet"])
@pytest.mark.parametrize("fill", FILLS)
def test_a_picture_shows_the_pixels_that_the_network_was_given(batch, fill, preprocess):
    pixels, _, masks = batch
    given = occlude(normalise(pixels, preprocess), masks, fill, preprocess, seed=5).permute(0, 2, 3, 1)
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    expected = (255 * (std * given + mean)).round().clamp(0, 255).to(torch.uint8)
    for image, mask, seen in zip(pixels.numpy(), masks.numpy(), expected.numpy(), strict=True):
        drawn = np.asarray(occlude_crop(Image.fromarray(image), mask, fill, preprocess, seed=5))
        np.testing.assert_array_equal(drawn, seen)
        np.testing.assert_array_equal(drawn[~mask], image[~mask])


def test_noise_is_what_torch_draws_from_the_pixels(batch):
    pixels, images, masks = batch
    expected = []
    for image in pixels.permute(0, 3, 1, 2):
        generator = torch.Generator().manual_seed(zlib.crc32(image.numpy().tobytes(), 3))
        expected.append(torch.rand(image.shape, generator=generator))
    everywhere = torch.ones_like(masks)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PREPROCESS.mean, PREPROCESS.std))
    assert torch.equal(
        occlude(images, everywhere, "noise", PREPROCESS, seed=3), (torch.stack(expected) - mean) / std
    )


def test_blur_keeps_a_flat_image_exactly():
    images = normalise(torch.full((1, 32, 32, 3), 77, dtype=torch.uint8), PREPROCESS)
    assert torch.equal(occlude(images, torch.ones(1, 32, 32, dtype=torch.bool), "blur", PREPROCESS), images)
