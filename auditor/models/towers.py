"""One shape for every image model: raw features, and the head that turns them into the image's output.

timm has the two functions already; open_clip's three kinds of image tower get them here, and two adapters
serve models whose features or whose pooling lie elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.hooks import recorded, replaced_input
from auditor.models.layout import Hints, UnreadableError, read_hints

_GLOBAL_POOLS = ("SelectAdaptivePool2d", "AdaptiveAvgPool2d")


class Tower:
    """A timm model: its own forward_features and forward_head."""

    def __init__(self, module: nn.Module, hints: Hints | None = None) -> None:
        self.module: Any = module
        self.hints = hints or read_hints(module)

    def features(self, images: Tensor) -> Any:
        """Features before aggregation, in the model's own layout."""
        return self.module.forward_features(images)

    def head(self, raw: Tensor) -> Any:
        """The image's output (B, K) from those features."""
        return self.module.forward_head(raw)

    def run(self, images: Tensor) -> tuple[Any, Any]:
        """Features and output of the same images, in one pass."""
        raw = self.features(images)
        return raw, self.head(raw)


class ResNetTower(Tower):
    """open_clip's ModifiedResNet: a stem, four stages and an attention pool."""

    def __init__(self, module: Any) -> None:
        super().__init__(module, Hints(channels=module.attnpool.v_proj.in_features, format="NCHW"))

    def features(self, images: Tensor) -> Tensor:
        """The last stage, (B, C, H, W)."""
        stages = (self.module.layer1, self.module.layer2, self.module.layer3, self.module.layer4)
        raw: Tensor = self.module.stem(images)
        for stage in stages:
            raw = stage(raw)
        return raw

    def head(self, raw: Tensor) -> Tensor:
        """The attention pool with its projection."""
        pooled: Tensor = self.module.attnpool(raw)
        return pooled


class ViTTower(Tower):
    """open_clip's VisionTransformer: one class token, the final norm before or after the pool."""

    def __init__(self, module: Any) -> None:
        if module.attn_pool is not None:
            raise BackboneError("open_clip models with a CoCa attentional pooler are not supported")
        super().__init__(
            module, Hints(channels=module.conv1.out_channels, prefix=1, reduction=module.patch_size[0])
        )

    def features(self, images: Tensor) -> Tensor:
        """Tokens (B, 1 + N, C), normalised where the model normalises before it pools."""
        tokens: Tensor = self.module.transformer(self.module._embeds(images))
        return tokens if self.module.final_ln_after_pool else self.module.ln_post(tokens)

    def head(self, raw: Tensor) -> Tensor:
        """Pool, norm where it comes after, projection."""
        pooled: Tensor = self.module._global_pool(raw)[0]
        if self.module.final_ln_after_pool:
            pooled = self.module.ln_post(pooled)
        return pooled if self.module.proj is None else pooled @ self.module.proj


class TrunkTower(Tower):
    """open_clip's TimmModel: a timm trunk, then open_clip's own head."""

    def __init__(self, module: Any) -> None:
        super().__init__(module, read_hints(module.trunk))

    def features(self, images: Tensor) -> Any:
        """The trunk's features."""
        return self.module.trunk.forward_features(images)

    def head(self, raw: Tensor) -> Tensor:
        """The trunk's pool, then the projection."""
        output: Tensor = self.module.head(self.module.trunk.forward_head(raw))
        return output


class PoolInputTower(Tower):
    """For heads that convolve before they pool (EfficientViT, VGG): the grid is what the global pool sees."""

    def __init__(self, inner: Tower, pool: nn.Module, raw: Tensor) -> None:
        super().__init__(inner.module, Hints(format="NCHW"))
        self._inner, self._pool, self._raw = inner, pool, raw[:1]

    def features(self, images: Tensor) -> Tensor:
        """The input of the global pool, (B, C, H, W)."""
        return self.run(images)[0]

    def head(self, raw: Tensor) -> Any:
        """Pool and what follows: the convolutions before it run on a stand-in whose result is dropped."""
        with replaced_input(self._pool, raw):
            return self._inner.head(self._raw)

    def run(self, images: Tensor) -> tuple[Tensor, Any]:
        """The pool's input and the output."""
        with recorded([self._pool]) as seen:
            output = self._inner.run(images)[1]
        return seen[0][1], output


class IntermediatesTower(Tower):
    """For features in several branches, or class tokens alone: the last intermediate map, no head."""

    def __init__(self, inner: Tower) -> None:
        if not hasattr(inner.module, "forward_intermediates"):
            raise UnreadableError("it offers no intermediate features either")
        super().__init__(inner.module, Hints(format="NCHW"))

    def features(self, images: Tensor) -> Tensor:
        """The last intermediate map, (B, C, H, W), after the model's final norm where it has one."""
        maps = self.module.forward_intermediates(images, indices=1, intermediates_only=True, norm=True)
        last: Tensor = maps[-1]
        return last

    def head(self, raw: Tensor) -> Any:
        """No head reads these features alone."""
        raise UnreadableError("its head does not read these features")

    def run(self, images: Tensor) -> tuple[Tensor, None]:
        """The map; the image's output does not follow from it."""
        return self.features(images), None


def find_global_pool(tower: Tower, raw: Any) -> nn.Module | None:
    """The 2-d pool that the head runs over more than one cell, None where there is none."""
    pools = [module for module in tower.module.modules() if type(module).__name__ in _GLOBAL_POOLS]
    with torch.no_grad(), recorded(pools) as seen:
        tower.head(raw)
    return next((pool for pool, value in seen if value.ndim == 4 and value[0, 0].numel() > 1), None)


def open_clip_tower(visual: nn.Module) -> Tower:
    """The adapter for an open_clip image tower."""
    adapters = {"ModifiedResNet": ResNetTower, "VisionTransformer": ViTTower, "TimmModel": TrunkTower}
    kind = type(visual).__name__
    if kind not in adapters:
        raise BackboneError(f"open_clip image towers of kind {kind} are not supported")
    return adapters[kind](visual)
