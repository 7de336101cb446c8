"""Attention pools: the exact split of their output over the cells, and their answer to one repeated cell.

Pools are CLIP's AttentionPool2d (open_clip's and timm's) and AttentionPoolLatent (SigLIP, PE). The split
keeps the attention weights of the whole image; each cell brings its value through the output projection.
What other tokens bring (class tokens, registers) is shared by the cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.models.hooks import recorded, replaced_output
from auditor.models.readout import HeadFunction, split_taylor
from auditor.models.towers import Tower

_POOLS = (
    "AttentionPool2d",
    "RotAttentionPool2d",
    "AttentionPoolLatent",
    "AttentionPoolPrr",
    "AttentionalPooler",
)


def find_attention_pool(tower: Tower, raw: Any) -> nn.Module | None:
    """The attention pool that the head really runs, found by running it."""
    pools = [module for module in tower.module.modules() if type(module).__name__ in _POOLS]
    with torch.no_grad(), recorded(pools) as seen:
        tower.head(raw)
    return seen[0][0] if seen else None


def can_split(pool: Any) -> bool:
    """Whether the pool is of a kind whose split is known."""
    if type(pool).__name__ == "AttentionPoolLatent":
        return bool(pool.latent_len == 1)
    return type(pool).__name__ == "AttentionPool2d" and getattr(pool, "cls_token", None) is None


def split_attention(tower: Tower, pool: Any, raw: Tensor, features: Tensor) -> Tensor:
    """Scores (B, H, W, K) whose mean is the output for `raw`; `features` is the grid (B, H, W, C) in it."""
    if type(pool).__name__ == "AttentionPool2d":
        parts = _split_2d(pool, features)
    else:
        with recorded([pool]) as seen:
            tower.head(raw)
        parts = _split_latent(pool, seen[0][1], features[0, ..., 0].numel())
    scores = split_taylor(_tail(tower, pool, raw), parts, parts.mean(1))
    return scores.reshape(*features.shape[:3], -1)


def _tail(tower: Tower, pool: Any, raw: Tensor) -> HeadFunction:
    """What the model does after the attention itself: the pool's own MLP, then the rest of the head."""

    def apply(pooled: Tensor) -> Tensor:
        if getattr(pool, "mlp", None) is not None:
            pooled = pooled + pool.mlp(pool.norm(pooled))
        with replaced_output(pool, lambda _: pooled):
            output: Tensor = tower.head(raw[:1])
        return output

    return apply


_Linear = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, slots=True)
class _Projections:
    """The linear maps of an AttentionPool2d, whichever library made it, and its position terms (1 + N, C)."""

    query: _Linear
    key: _Linear
    value: _Linear
    output: Any
    heads: int
    position: Tensor


def _projections(pool: Any, grid: tuple[int, int]) -> _Projections:
    if hasattr(pool, "positional_embedding"):  # open_clip
        query, key, value = (_weights(part) for part in (pool.q_proj, pool.k_proj, pool.v_proj))
        return _Projections(query, key, value, pool.c_proj, pool.num_heads, pool.positional_embedding)
    if pool.qkv is None:
        query, key, value = (_weights(part) for part in (pool.q, pool.k, pool.v))
    else:
        weight, bias = _weights(pool.qkv)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        query, key, value = zip(weight.chunk(3), biases, strict=True)
    return _Projections(query, key, value, pool.proj, pool.num_heads, _resampled_position(pool, grid))


def _weights(linear: Any) -> _Linear:
    return linear.weight, linear.bias


def _resampled_position(pool: Any, grid: tuple[int, int]) -> Tensor:
    from timm.layers.pos_embed import resample_abs_pos_embed

    position: Tensor = resample_abs_pos_embed(
        pool.pos_embed[None], list(grid), old_size=list(pool.feat_size), num_prefix_tokens=1
    )[0]
    return position


def _split_2d(pool: Any, features: Tensor) -> Tensor:
    """Parts (B, N, D) of an AttentionPool2d; its mean token is linear in the cells and goes back to them."""
    cells, maps = features.flatten(1, 2), _projections(pool, (features.shape[1], features.shape[2]))
    count = cells.shape[1]
    tokens = torch.cat([cells.mean(1, keepdim=True), cells], 1) + maps.position
    weights = _attention(
        _heads(F.linear(tokens[:, 0], *maps.query), maps), _heads(F.linear(tokens, *maps.key), maps)
    )
    to_mean, to_cells = weights[:, :1, :, None], weights[:, 1:, :, None]  # B, 1 or N, heads, 1

    def value(vectors: Tensor) -> Tensor:
        return _heads(F.linear(vectors, maps.value[0]), maps)

    shares = count * to_cells * value(cells + maps.position[1:]) + to_mean * value(cells)
    parts = (shares + to_mean * value(maps.position[0])).flatten(-2)
    if maps.value[1] is not None:
        parts = parts + maps.value[1]
    output: Tensor = maps.output(parts)
    return output


def repeated_cell_2d(pool: Any, cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """An AttentionPool2d on grids that hold one cell (M, C) in every place: (M, D).

    Tokens differ by their position terms alone, so keys and values of positions are made once:
    about 30 times cheaper than building the grids.
    """
    maps = _projections(pool, grid)
    query = _heads(F.linear(cells + maps.position[0], *maps.query), maps)
    keys = _heads(F.linear(maps.position, maps.key[0]), maps)
    weights = _attention(query, keys.expand(len(cells), -1, -1, -1))
    places = _heads(F.linear(maps.position, maps.value[0]), maps)
    pooled = torch.einsum("mnh,nhd->mhd", weights, places).flatten(-2) + F.linear(cells, *maps.value)
    output: Tensor = maps.output(pooled)
    return output


def repeated_cell_head(tower: Tower, pool: Any, raw: Tensor, grid: tuple[int, int]) -> HeadFunction:
    """f: cells (M, C) to (M, K) for a tower with an AttentionPool2d, on bags of one repeated cell."""
    tail = _tail(tower, pool, raw)
    return lambda cells: tail(repeated_cell_2d(pool, cells, grid))


def _heads(vectors: Tensor, maps: _Projections) -> Tensor:
    return vectors.reshape(*vectors.shape[:-1], maps.heads, -1)


def _attention(query: Tensor, keys: Tensor) -> Tensor:
    """Weights (B, N, heads) of one query (B, heads, d) over keys (B, N, heads, d)."""
    scores: Tensor = torch.einsum("bhd,bnhd->bnh", query, keys) * float(query.shape[-1]) ** -0.5
    return scores.softmax(1)


def _split_latent(pool: Any, tokens: Tensor, cells: int) -> Tensor:
    """Parts (B, N, D) of an AttentionPoolLatent before its MLP; `tokens` is all that it sees."""
    if pool.pos_embed is not None:
        tokens = tokens + pool.pos_embed[None]
    count, prefix = tokens.shape[1], tokens.shape[1] - cells
    latent = pool.q(pool.latent.expand(len(tokens), -1, -1)).unflatten(-1, (pool.num_heads, -1))[:, 0]
    keys, values = pool.kv(tokens).unflatten(-1, (2, pool.num_heads, -1)).unbind(2)
    weights = _attention(pool.q_norm(latent), pool.k_norm(keys))[..., None]
    parts = (weights * values).flatten(-2)
    shared = parts[:, :prefix].sum(1, keepdim=True)
    output: Tensor = pool.proj((count - prefix) * parts[:, prefix:] + shared)
    return output
