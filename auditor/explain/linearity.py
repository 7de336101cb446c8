"""The proof that a score is linear in the image: every operation between the two, from autograd's own graph.

An operation without a relevance rule would not raise: it would give a wrong map. Nothing is known of models
here, so nothing can be forgotten in one: what is not on these lists is refused, custom and compiled
operations included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from auditor.errors import BackboneError

# Linear in all that they are given together, or positively homogeneous: relevance keeps its sum through both.
_LINEAR = {
    *("Add", "Sub", "Rsub", "Neg", "Sum", "Mean", "Cat", "Stack", "Clone", "Alias", "ToCopy"),
    *("View", "UnsafeView", "ReshapeAlias", "AsStrided", "Permute", "Transpose", "T", "Expand", "Repeat"),
    *(
        "Unsqueeze",
        "Squeeze",
        "Slice",
        "Select",
        "Split",
        "SplitWithSizes",
        "Unbind",
        "Index",
        "Roll",
        "Flip",
    ),
    *("ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D", "PixelShuffle", "PixelUnshuffle"),
    *("AvgPool2D", "AdaptiveAvgPool2D", "UpsampleNearest2D", "UpsampleBilinear2D", "UpsampleBicubic2D"),
    *("Relu", "LeakyRelu", "MaxPool2DWithIndices"),
}
# Linear in each alone: all the others must be constants.
_PRODUCTS = {
    *("Mul", "Dot", "Mv", "Mm", "Bmm", "Addmm", "Baddbmm", "Addcmul", "Convolution"),
    *("ScaledDotProductFlashAttentionForCpu", "ScaledDotProductFlashAttention"),
    *("ScaledDotProductEfficientAttention", "ScaledDotProductCudnnAttention"),
}
_LEAF = "torch::autograd::AccumulateGrad"


def check_linear(score: Tensor) -> None:
    """BackboneError where the score depends on the image other than linearly, or not at all."""
    if score.grad_fn is None:
        raise BackboneError("this score does not follow from the image by operations that can be traced back")
    unknown = {reason for node in _walk(score.grad_fn) if (reason := _object_to(node))}
    if unknown:
        raise BackboneError(
            f"there is no relevance rule for {', '.join(sorted(unknown)[:3])} in this backbone; "
            "audit relevance knows convolutions, dense layers, softmax attention, gates and the usual norms"
        )


def _walk(node: Any) -> Iterator[Any]:
    """Every node between a score and the image, each once."""
    seen, waiting = {node}, [node]
    while waiting:
        node = waiting.pop()
        yield node
        new = {below for below, _ in node.next_functions if below is not None} - seen
        seen |= new
        waiting += new


def _object_to(node: Any) -> str | None:
    """What is not linear about an operation; None where nothing is."""
    name = re.sub(r"Backward\d*$", "", node.name())
    moving = [place for place, (below, _) in enumerate(node.next_functions) if below is not None]
    if name in _LINEAR or name == _LEAF:
        return None
    if name in _PRODUCTS:
        return None if len(moving) == 1 else f"{name} of two features"
    if name == "Div":
        return None if moving == [0] else "Div by a feature"
    return name
