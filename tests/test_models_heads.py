"""Heads and probes against plain formulas and scikit-learn."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from auditor.errors import BackboneError
from auditor.models.backbone import Backbone, Grid
from auditor.models.catalog import resolve
from auditor.models.head_files import load_head, save_head
from auditor.models.heads import LinearHead, OwnHead, certify, make_text_head
from auditor.models.probe import ProbeHead, train_mlp_probe, train_probe
from auditor.models.weights import assemble, load_backbone
from auditor.records import ClassName, Preprocess
from indexes import Diary

torch.set_num_threads(1)  # small work: on a busy machine threads cost more than they give

CLASSES = tuple(ClassName(name) for name in ("cat", "dog", "garden spider"))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grid_of(features: Tensor, logits: Tensor | None = None) -> Grid:
    return Grid(features, features.mean((1, 2)), None, logits)


@pytest.fixture(scope="module")
def clip() -> Backbone:
    """A tiny CLIP: open_clip's ViT with its text transformer, both two layers deep."""
    torch.manual_seed(0)
    vision = {
        "image_size": 32,
        "layers": 2,
        "width": 64,
        "head_width": 32,
        "patch_size": 8,
        "pool_type": "avg",
    }
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    model = open_clip.CLIP(24, vision, text).eval()
    spec = resolve("open_clip/ViT-B-32:openai")
    return assemble(spec, model, Preprocess(32, 32), weights_sha256="random")


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    return load_backbone("timm/test_resnet.r160_in1k", weights="random:3", size=160, device="cpu")


# ------------------------------------------------------------------------------------------------- own heads


def test_own_head_is_linear_and_exact(resnet: Backbone) -> None:
    head = OwnHead(resnet)
    images = draw(3, 3, 160, 160)
    grid = resnet.grid_of(images)
    torch.testing.assert_close(
        head.scores(grid.features).mean((1, 2)), head.image_scores(grid), rtol=1e-4, atol=1e-4
    )
    certificate = certify(resnet, head, images)
    assert (certificate.verdict, certificate.exact_readout, certificate.images) == ("exact", "linear", 3)
    assert certificate.exact_error is not None
    assert certificate.exact_error <= 1e-5
    assert certificate.pointwise_error == certificate.exact_error


def test_affine_own_head_is_used_without_its_model(resnet: Backbone, tmp_path: Path) -> None:
    head, path = OwnHead(resnet), tmp_path / "own.safetensors"
    save_head(head, path)
    alone = load_head(path)
    assert isinstance(alone, LinearHead)
    assert alone.classes == resnet.classes
    grid = resnet.grid_of(draw(2, 3, 160, 160))
    torch.testing.assert_close(alone.scores(grid.features), head.scores(grid.features))
    torch.testing.assert_close(alone.image_scores(grid), head.image_scores(grid), rtol=1e-4, atol=1e-4)


def test_own_head_that_is_not_affine_needs_its_model(tmp_path: Path) -> None:
    backbone = load_backbone("timm/convnext_atto", weights="random", device="cpu")
    path = tmp_path / "own.safetensors"
    save_head(OwnHead(backbone), path)
    with pytest.raises(BackboneError, match="load the backbone first"):
        load_head(path)
    assert isinstance(load_head(path, backbone), OwnHead)


def test_backbone_without_classes_has_no_own_head(clip: Backbone) -> None:
    with pytest.raises(BackboneError, match="no class head of its own"):
        OwnHead(clip)


def test_certificate_of_an_embedding(clip: Backbone) -> None:
    certificate = certify(clip, None, draw(2, 3, 32, 32))
    assert certificate.aggregation == "gap"
    assert certificate.exact_error is not None
    assert certificate.exact_error <= 1e-5


# ------------------------------------------------------------------------------------------------- zero-shot


def test_text_head_by_the_formula(clip: Backbone) -> None:
    head = make_text_head(clip, CLASSES, "a drawing of a {}.")
    model_text = clip.encode_text([f"a drawing of a {known.name}." for known in CLASSES])
    grid = clip.grid_of(draw(2, 3, 32, 32))
    assert clip.text is not None
    unit = model_text / model_text.norm(dim=-1, keepdim=True)
    assert grid.logits is not None
    for image in range(2):
        embedding = grid.logits[image]
        wanted = torch.stack([clip.text.scale * (embedding / embedding.norm()) @ row for row in unit])
        torch.testing.assert_close(head.image_scores(grid)[image], wanted, rtol=1e-4, atol=1e-5)
    cell = clip.pointwise(grid.features[1, 2, 3])
    wanted = clip.text.scale * unit @ (cell / cell.norm())
    torch.testing.assert_close(head.scores(grid.features)[1, 2, 3], wanted, rtol=1e-4, atol=1e-5)


def test_text_head_adds_up_with_the_pooled_length(clip: Backbone) -> None:
    head = make_text_head(clip, CLASSES)
    certificate = certify(clip, head, draw(4, 3, 32, 32))
    assert (certificate.verdict, certificate.exact_readout) == ("exact-affine", "pooled_norm")
    assert certificate.exact_error is not None
    assert certificate.pointwise_error is not None
    assert certificate.exact_error <= 1e-5 < certificate.pointwise_error
    grid = clip.grid_of(draw(2, 3, 32, 32))
    assert torch.equal(
        head.scores(grid.features).argmax(-1), head.exact(grid).argmax(-1)
    )  # no bias: same argmax


def test_text_head_on_disk(clip: Backbone, tmp_path: Path) -> None:
    head, path = make_text_head(clip, CLASSES), tmp_path / "text.safetensors"
    save_head(head, path)
    grid = clip.grid_of(draw(2, 3, 32, 32))
    again = load_head(path, clip)
    assert again.classes == CLASSES
    assert torch.equal(again.scores(grid.features), head.scores(grid.features))


def test_text_head_needs_a_text_tower_and_a_place_for_the_name(clip: Backbone, resnet: Backbone) -> None:
    with pytest.raises(BackboneError, match="no text tower"):
        make_text_head(resnet, CLASSES)
    with pytest.raises(BackboneError, match="where the class name goes"):
        make_text_head(clip, CLASSES, "a photo")


@pytest.mark.parametrize("content", [b"", b"not a head" * 10])
def test_damaged_head_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match="damaged"):
        load_head(path)


# ------------------------------------------------------------------------------------------------- probes


def clusters(
    n: int, dim: int, classes: int, spread: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(classes, dim))
    labels = random.integers(0, classes, n)
    return (centers[labels] + spread * random.normal(size=(n, dim))).astype(np.float32), labels


def named(count: int) -> list[ClassName]:
    return [ClassName(str(index)) for index in range(count)]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def test_probe_is_as_good_as_logistic_regression() -> None:
    train, labels = clusters(600, 64, 8, 1.8, seed=1)
    test, wanted = clusters(600, 64, 8, 1.8, seed=2)
    reference = LogisticRegression(C=100, max_iter=2000).fit(unit(train), labels).score(unit(test), wanted)
    head = train_probe(train, [(int(label),) for label in labels], named(8), np.full(600, -1))
    scores = head.image_scores(grid_of(torch.from_numpy(test)[:, None, None]))
    accuracy = float((scores.argmax(-1).numpy() == wanted).mean())
    assert 0.7 < reference < 1
    assert accuracy >= reference - 0.03


def test_no_head_saw_the_images_of_its_fold() -> None:
    """Labels that mean nothing are learned by heart: only a head that saw an image can know its label."""
    random = np.random.default_rng(0)
    vectors, labels = random.normal(size=(90, 200)).astype(np.float32), random.integers(0, 9, 90)
    folds = np.arange(90) % 3
    head = train_probe(vectors, [(int(label),) for label in labels], named(9), folds, epochs=120)
    grid = grid_of(torch.from_numpy(vectors)[:, None, None])
    right = [
        (head.image_scores(grid, torch.full((90,), fold)).argmax(-1).numpy() == labels) for fold in range(3)
    ]
    for fold in range(3):
        assert right[fold][folds != fold].mean() > 0.95
        assert right[fold][folds == fold].mean() < 0.45


def test_changing_a_held_out_image_changes_nothing_in_its_head() -> None:
    vectors, labels = clusters(60, 16, 3, 1.0, seed=3)
    folds, positives = np.arange(60) % 2, [(int(label),) for label in labels]
    before = train_probe(vectors, positives, named(3), folds, epochs=3)
    vectors[folds == 0] *= -3
    after = train_probe(vectors, positives, named(3), folds, epochs=3)
    assert torch.equal(before.weight[0], after.weight[0])
    assert not torch.equal(before.weight[1], after.weight[1])


def test_training_is_deterministic_and_follows_its_seed() -> None:
    vectors, labels = clusters(50, 16, 3, 1.0, seed=3)
    arguments = (vectors, [(int(label), 0) for label in labels], named(3), np.arange(50) % 2)
    first, again, other = (train_probe(*arguments, seed=seed, epochs=3) for seed in (1, 1, 2))
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


@pytest.mark.parametrize(("learn", "epochs"), [(train_probe, 3), (train_mlp_probe, 6)])
def test_every_epoch_of_a_probe_is_told(learn, epochs):
    diary = Diary()
    vectors = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    learn(vectors, [(row % 3,) for row in range(40)], named(3), np.arange(40) % 2, epochs=3, watch=diary)
    assert diary.stages == {"training a probe, epochs": [epochs, epochs]}


def test_several_positives_share_the_probability() -> None:
    """One positive drawn anew each epoch: an image of two classes is torn between them evenly."""
    vectors = np.repeat(np.eye(3, 32, dtype=np.float32), 40, axis=0)
    positives = [(0, 1)] * 40 + [(2,)] * 40 + [(1,)] * 40
    head = train_probe(vectors, positives, named(3), np.full(120, -1))
    chances = head.image_scores(grid_of(torch.eye(3, 32)[:, None, None])).softmax(-1)
    assert chances[0, :2].tolist() == pytest.approx([0.5, 0.5], abs=0.12)
    assert chances[1, 2] > 0.95


def test_images_without_labels_are_left_out() -> None:
    vectors, labels = clusters(40, 16, 2, 0.5, seed=4)
    positives = [(int(label),) for label in labels]
    alone = train_probe(vectors, positives, named(2), np.arange(40) % 2, epochs=3)
    padded = np.concatenate([vectors, 99 * np.ones((5, 16), np.float32)])
    more = train_probe(padded, [*positives, *[()] * 5], named(2), np.arange(45) % 2, epochs=3)
    assert torch.equal(alone.weight, more.weight)


def test_fold_without_training_images_is_refused() -> None:
    with pytest.raises(BackboneError, match="fewer folds"):
        train_probe(np.ones((4, 8), np.float32), [(0,)] * 4, named(2), np.zeros(4, np.int64))


def test_probe_scores_by_loops() -> None:
    head = ProbeHead(draw(2, 3, 8), draw(2, 3, seed=1), tuple(named(3)))
    features, folds = draw(4, 2, 5, 8, seed=2), torch.tensor([0, 1, 1, 0])
    scores = head.scores(features, folds)
    for image in range(4):
        for row in range(2):
            for col in range(5):
                cell = features[image, row, col]
                wanted = head.weight[folds[image]] @ (cell / cell.norm()) + head.bias[folds[image]]
                torch.testing.assert_close(scores[image, row, col], wanted)
    pooled = features.mean((1, 2))
    wanted = torch.stack(
        [head.weight[f] @ F.normalize(p, dim=0) + head.bias[f] for f, p in zip(folds, pooled, strict=True)]
    )
    grid = grid_of(features)
    torch.testing.assert_close(head.image_scores(grid, folds), wanted)
    torch.testing.assert_close(head.exact(grid, folds).mean((1, 2)), wanted)
    unseen = head.image_scores(grid)  # no folds: the mean of the heads
    torch.testing.assert_close(
        unseen, (head.image_scores(grid, folds) + head.image_scores(grid, 1 - folds)) / 2
    )


def test_probe_certificate_is_exact_for_a_class_token_model() -> None:
    backbone = load_backbone("timm/test_vit.r160_in1k", weights="random", size=160, device="cpu")
    head = ProbeHead(draw(1, 5, 64), draw(1, 5), tuple(named(5)))
    certificate = certify(backbone, head, draw(4, 3, 160, 160))
    assert (certificate.verdict, certificate.aggregation, certificate.exact_readout) == (
        "exact-affine",
        "gap",
        "pooled_norm",
    )
    assert certificate.exact_error is not None
    assert certificate.exact_error <= 1e-5


def test_probe_on_disk(tmp_path: Path) -> None:
    head = ProbeHead(draw(2, 3, 8), draw(2, 3), CLASSES)
    save_head(head, tmp_path / "probe.safetensors")
    again = load_head(tmp_path / "probe.safetensors")
    assert isinstance(again, ProbeHead)
    assert torch.equal(again.weight, head.weight)
    assert again.classes == CLASSES
