"""A synthetic scene: several labelled symbols, one of them the image-level target (paper 4.4, A.2, Figure 4).

A scene is a pure function of a recipe and its number: the same whatever the order, the machine or the count
of workers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

SIDE = 224  # pixels, A.2
SCALES = (42.0, 68.0)  # pixels, A.2
COUNTS = (3, 4, 5)  # objects in a scene, A.2
MARKER = 20  # pixels of the planted corner marker

PALETTE: tuple[Colour, ...] = (
    (214, 48, 49), (9, 132, 227), (0, 148, 108), (232, 130, 12), (108, 72, 201),
    (214, 62, 140), (122, 84, 52), (28, 120, 140), (96, 122, 20), (60, 64, 78),
)  # fmt: skip


def _arc(
    centre: tuple[float, float], radius: float, start: float, stop: float, steps: int
) -> list[tuple[float, float]]:
    """Points of an arc from `start` to `stop` in degrees, clockwise on a screen."""
    angles = np.radians(np.linspace(start, stop, steps))
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def _heart() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(a / 34, -b / 34) for a, b in zip(x, y, strict=True)]


def _star() -> list[tuple[float, float]]:
    radii = (0.5, 0.23)
    return [_arc((0, 0), radii[i % 2], 36 * i - 90, 36 * i - 90, 1)[0] for i in range(10)]


# The ten base shapes as outlines in the unit square, each unlike the others under rotation.
SHAPES: dict[str, list[tuple[float, float]]] = {
    "circle": _arc((0, 0), 0.46, 0, 350, 36),
    "square": [(-0.4, -0.4), (0.4, -0.4), (0.4, 0.4), (-0.4, 0.4)],
    "triangle": [(0, -0.5), (0.48, 0.36), (-0.48, 0.36)],
    "star": _star(),
    "plus": [(-0.17, -0.5), (0.17, -0.5), (0.17, -0.17), (0.5, -0.17), (0.5, 0.17), (0.17, 0.17),
             (0.17, 0.5), (-0.17, 0.5), (-0.17, 0.17), (-0.5, 0.17), (-0.5, -0.17), (-0.17, -0.17)],
    "heart": _heart(),
    "crescent": _arc((-0.05, 0), 0.5, 55, 305, 22) + _arc((0.32, 0), 0.42, 258, 102, 16),
    "arrow": [(0.5, 0), (0.05, -0.45), (0.05, -0.18), (-0.5, -0.18),
              (-0.5, 0.18), (0.05, 0.18), (0.05, 0.45)],
    "bar": [(-0.5, -0.2), (0.5, -0.2), (0.5, 0.2), (-0.5, 0.2)],
    "hourglass": [(-0.4, -0.5), (0.4, -0.5), (0.12, 0), (0.4, 0.5), (-0.4, 0.5), (-0.12, 0)],
}  # fmt: skip
PATTERN_CENTRES = {"crescent": (-0.33, 0.0)}  # elsewhere the origin lies well inside the shape

CLASSES = tuple(f"{shape} {pattern}" for pattern in ("dot", "cross") for shape in SHAPES)
"""The 20 classes: 0-9 carry a centre dot, 10-19 reuse the shapes with a diagonal cross (Figure 4)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a set of scenes.

    The two planted faults are off while their class is None. With one, scenes that hold the class carry the
    stripes or the corner marker with probability `strength`, all others with probability `leak`.
    """

    seed: int = 0
    texture_class: int | None = None
    marker_class: int | None = None
    strength: float = 0.95
    leak: float = 0.01


@dataclass(frozen=True, slots=True)
class Symbol:
    """One placed object: centre and scale in pixels, rotation in degrees."""

    label: int
    centre: tuple[float, float]
    scale: float
    rotation: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene before it is drawn; symbols in rendering order, `target` the sampled image-level class."""

    symbols: tuple[Symbol, ...]
    target: int
    background: Colour
    has_texture: bool
    marker_at: tuple[int, int] | None  # left and top in pixels


@dataclass(frozen=True, slots=True)
class Rendered:
    """Pixels of a scene: image (S, S, 3) uint8, semantic (0 background, else class + 1), instance (1..n)."""

    image: Image.Image
    semantic: NDArray[np.uint8]
    instance: NDArray[np.uint8]


# ------------------------------------------------------------------------------------------------ sampling


def sample_scene(recipe: Recipe, number: int) -> Scene:
    """The scene of this number: a function of the recipe and the number alone."""
    rng = np.random.default_rng((recipe.seed, number))
    labels = [int(label) for label in rng.permutation(len(CLASSES))[: rng.choice(COUNTS)]]
    symbols = _place(labels, rng)
    target = int(rng.choice(labels))
    background = (int(rng.integers(205, 251)), int(rng.integers(205, 251)), int(rng.integers(205, 251)))
    has_texture = _is_planted(recipe, recipe.texture_class, labels, rng)
    has_marker = _is_planted(recipe, recipe.marker_class, labels, rng)
    return Scene(symbols, target, background, has_texture, _marker_place(rng) if has_marker else None)


def _place(labels: list[int], rng: np.random.Generator) -> tuple[Symbol, ...]:
    """Uniform scales, rotations and places; neighbours may overlap a little, never hide each other."""
    while True:
        symbols: list[Symbol] = []
        for label in labels:
            symbol = _place_one(label, symbols, rng)
            if symbol is None:
                break  # the scene is full: start over, so that places stay uniform under the constraint
            symbols.append(symbol)
        else:
            return tuple(symbols[i] for i in rng.permutation(len(symbols)))


def _place_one(label: int, others: list[Symbol], rng: np.random.Generator) -> Symbol | None:
    """None when 40 tries find no place."""
    scale, rotation = float(rng.uniform(*SCALES)), float(rng.uniform(-180, 180))
    jitter = rng.integers(-20, 21, 3)
    colour = PALETTE[int(rng.integers(len(PALETTE)))]
    red, green, blue = (int(np.clip(c + j, 0, 255)) for c, j in zip(colour, jitter, strict=True))
    for _ in range(40):
        x, y = (float(v) for v in rng.uniform(scale / 2, SIDE - scale / 2, 2))
        if all(math.dist((x, y), other.centre) >= 0.42 * (scale + other.scale) for other in others):
            return Symbol(label, (x, y), scale, rotation, (red, green, blue))
    return None


def _is_planted(recipe: Recipe, label: int | None, labels: list[int], rng: np.random.Generator) -> bool:
    chance = rng.random()  # drawn in any case, so that switching a fault on changes nothing else
    return label is not None and chance < (recipe.strength if label in labels else recipe.leak)


def _marker_place(rng: np.random.Generator) -> tuple[int, int]:
    left, top = (int(v) for v in rng.integers(2, 7, 2))
    far = SIDE - MARKER
    return (left if rng.random() < 0.5 else far - left), (top if rng.random() < 0.5 else far - top)


# ------------------------------------------------------------------------------------------------ drawing


def render(scene: Scene) -> Rendered:
    """The scene's pixels and its two masks; edges are not blended, so the masks are exact."""
    image, semantic, instance = _canvas(scene), Image.new("L", (SIDE, SIDE)), Image.new("L", (SIDE, SIDE))
    pens = ImageDraw.Draw(image), ImageDraw.Draw(semantic), ImageDraw.Draw(instance)
    for number, symbol in enumerate(scene.symbols, start=1):
        _draw_symbol(pens[0], symbol, symbol.colour, _contrast(symbol.colour))
        _draw_symbol(pens[1], symbol, symbol.label + 1, symbol.label + 1)
        _draw_symbol(pens[2], symbol, number, number)
    if scene.marker_at is not None:
        left, top = scene.marker_at
        image.paste(_marker(), scene.marker_at)
        for pen in pens[1:]:
            pen.rectangle((left, top, left + MARKER - 1, top + MARKER - 1), fill=0)
    return Rendered(image, np.asarray(semantic), np.asarray(instance))


def render_image(scene: Scene) -> Image.Image:
    """The scene's pixels alone: what training reads, at a third of the cost."""
    image = _canvas(scene)
    pen = ImageDraw.Draw(image)
    for symbol in scene.symbols:
        _draw_symbol(pen, symbol, symbol.colour, _contrast(symbol.colour))
    if scene.marker_at is not None:
        image.paste(_marker(), scene.marker_at)
    return image


def _canvas(scene: Scene) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), scene.background)
    if scene.has_texture:
        red, green, blue = (max(channel - 45, 0) for channel in scene.background)
        image.paste((red, green, blue), mask=_stripes())
    return image


def _draw_symbol(pen: ImageDraw.ImageDraw, symbol: Symbol, fill: Any, pattern: Any) -> None:
    name = list(SHAPES)[symbol.label % len(SHAPES)]
    has_cross = symbol.label >= len(SHAPES)
    pen.polygon(_transform(_outline(name), symbol), fill=fill)
    centre = np.array([PATTERN_CENTRES.get(name, (0.0, 0.0))])
    if has_cross:
        for a, b in (((-1, -1), (1, 1)), ((-1, 1), (1, -1))):
            pen.line(
                _transform(centre + 0.2 * np.array([a, b]), symbol),
                fill=pattern,
                width=max(4, round(0.1 * symbol.scale)),
            )
    else:
        x, y = _transform(centre, symbol)[0]
        radius = 0.16 * symbol.scale
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=pattern)


def _transform(points: Points, symbol: Symbol) -> list[tuple[float, float]]:
    """Unit-square points rotated, scaled and moved to the symbol's place."""
    cos, sin = math.cos(math.radians(symbol.rotation)), math.sin(math.radians(symbol.rotation))
    moved = symbol.scale * points @ np.array([[cos, sin], [-sin, cos]]) + symbol.centre
    return [(x, y) for x, y in moved.tolist()]


def _contrast(colour: Colour) -> Colour:
    """White on dark symbols, near-black on light ones."""
    return (255, 255, 255) if sum(colour) < 400 else (20, 20, 20)


@cache
def _outline(name: str) -> Points:
    return np.array(SHAPES[name])


@cache
def _stripes() -> Image.Image:
    y, x = np.mgrid[:SIDE, :SIDE]
    return Image.fromarray((((x + y) % 16 < 7) * 255).astype(np.uint8))


@cache
def _marker() -> Image.Image:
    """A black-and-white checker of 4 x 4 fields."""
    y, x = np.mgrid[:MARKER, :MARKER] // (MARKER // 4)
    return Image.fromarray((((x + y) % 2) * 255).astype(np.uint8)).convert("RGB")
