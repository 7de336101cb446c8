"""The generic path on every model family of timm: what it finds with random weights, as a table.

    python benchmarks/zoo.py                 every family (about 40 minutes on two cores), as markdown
    python benchmarks/zoo.py NAME [NAME...]  these models alone

Random weights prove that the exact readouts are exact; how far the others are off for trained weights they do
not tell.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from auditor.models.anatomy import Anatomy, dissect
from auditor.models.quiet import quietly
from auditor.models.readout import relative_error
from auditor.models.towers import Tower

# Smallest variant of each family with its grid and dim at the model's own input, by what its head allows.
EXACT = """
resnet18 7x7x512; resnetv2_18 7x7x512; resnest14d 7x7x2048; skresnet18 7x7x512; res2net50_14w_8s
7x7x2048; legacy_seresnet18 7x7x512; regnetx_002 7x7x368; regnety_002 7x7x368; resnext50_32x4d 7x7x2048;
efficientnet_b0 7x7x1280; efficientnetv2_rw_t 7x7x1024; mobilenetv2_050 7x7x1280; mobilenetv5_base
16x16x2048; tinynet_e 4x4x1280; convnext_tiny_hnf 7x7x768; swin_tiny_patch4_window7_224 7x7x768;
swin_s3_tiny_224 7x7x768; swinv2_tiny_window8_256 8x8x768; swinv2_cr_tiny_ns_224 7x7x768;
maxvit_rmlp_pico_rw_256 8x8x256; maxxvit_rmlp_nano_rw_256 8x8x512; coatnet_nano_rw_224 7x7x512;
vit_base_patch16_gap_224 14x14x768; vit_medium_patch16_gap_240 15x15x512;
vit_base_patch16_siglip_gap_224 14x14x768; vit_so150m_patch16_reg4_gap_256 16x16x896; nextvit_small
7x7x1024; fastvit_t8 8x8x768; fastvit_mci0 8x8x1024; repvit_m0_9 7x7x384; pvt_v2_b0 7x7x256;
focalnet_tiny_srf 7x7x768; densenet121 7x7x1024; nfnet_f0 6x6x3072; dm_nfnet_f0 6x6x3072; eca_nfnet_l0
7x7x2304; efficientformer_l1 7x7x448; efficientformerv2_s0 7x7x176; levit_128s 4x4x384; levit_conv_128s
4x4x384; levit_256d 4x4x512; starnet_s1 7x7x192; twins_svt_small 7x7x512; twins_pcpvt_small 7x7x512;
mixer_s32_224 7x7x512; gmlp_ti16_224 14x14x128; resmlp_12_224 14x14x384; gcvit_xxtiny 7x7x512;
mobilevit_xxs 8x8x320; mobilevitv2_050 8x8x256; mvitv2_tiny 7x7x768; sequencer2d_s 16x16x384; dla46_c
7x7x256; hrnet_w18_small 7x7x2048; dpn48b 7x7x832; inception_v3 8x8x2048; inception_v4 8x8x1536;
inception_resnet_v2 8x8x1536; legacy_xception 10x10x2048; xception41 10x10x2048; rexnet_100 7x7x1280;
visformer_tiny 7x7x384; nest_tiny 14x14x384; cspresnet50 8x8x1024; cspnext_tiny 7x7x384; darknet53
8x8x1024; tresnet_m 7x7x2048; ese_vovnet19b_dw 7x7x1024; mobileone_s0 7x7x1024; selecsls42 4x4x1280;
efficientvit_m0 4x4x192; shvit_s1 4x4x320; swiftformer_xs 7x7x220; iformer_t 7x7x256;
samvit_base_patch16_224 14x14x768; gernet_s 7x7x1920; repvgg_a0 7x7x1280; bat_resnext26ts 8x8x2048;
halonet26t 8x8x2048; botnet26t_256 8x8x2048; lambda_resnet26t 8x8x2048; test_resnet 5x5x96
"""
NORM_LINEAR = """
convnext_atto 7x7x320; convnext_atto_rms 7x7x320; convnextv2_atto 7x7x320;
vit_medium_patch16_reg4_gap_256 16x16x512; vit_little_patch16_reg4_gap_256 16x16x320;
vit_wee_patch16_reg1_gap_256 16x16x256; vit_relpos_small_patch16_224 14x14x384; vit_base_patch16_rpn_224
14x14x768; beit_base_patch16_224 14x14x768; beitv2_base_patch16_224 14x14x768; eva02_tiny_patch14_224
16x16x192; davit_tiny 7x7x768; hiera_tiny_224 7x7x768; edgenext_xx_small 8x8x168; poolformer_s12
7x7x512; poolformerv2_s12 7x7x512; tiny_vit_5m_224 7x7x320; rdnet_tiny 7x7x1040; csatv2 8x8x386;
naflexvit_base_patch16_gap 24x24x768; vitamin_small_224 14x14x384; sam2_hiera_tiny 28x28x768;
gemma4_vit_167m 48x48x768; qwen3_vit_88m 48x48x768
"""
TAYLOR = """
mobilenetv3_small_050 7x7x288; mobilenetv4_conv_small 7x7x960; mobilenetv4_hybrid_medium 8x8x960;
lcnet_050 7x7x256; lcnetv2_small 7x7x768; fbnetv3_b 7x7x1344; maxvit_tiny_tf_224 7x7x512; coatnet_0_224
7x7x768; mambaout_femto 7x7x288; ghostnet_050 7x7x480; ghostnetv2_100 7x7x960; ghostnetv3_100 7x7x960;
inception_next_atto 7x7x320; convformer_s18 7x7x512; caformer_s18 7x7x512; hgnet_tiny 7x7x768;
hgnetv2_b0 7x7x1024; repghostnet_050 7x7x480; fasternet_t0 7x7x320; hardcorenas_a 7x7x960;
efficientvit_b0 7x7x1024; efficientvit_l1 7x7x3072; lowformer_b0 7x7x1536; cpubone_b0_bfrobust 7x7x1536
"""
ATTENTION = """
vit_base_patch16_siglip_224 14x14x768; vit_so150m_patch16_reg4_map_256 16x16x896;
vit_pe_core_tiny_patch16_384 24x24x192; naflexvit_base_patch16_map 24x24x768;
vit_base_patch16_siglip_512 32x32x768; vit_large_patch16_siglip_256 16x16x1024
"""
POINTWISE_ONLY = """
vit_tiny_patch16_224 14x14x192; vit_small_patch16_224 14x14x384; vit_small_patch16_36x1_224 14x14x384;
vit_base_patch16_clip_224 14x14x768; vit_base_patch32_clip_224 7x7x768; vit_relpos_base_patch16_cls_224
14x14x768; vit_tiny_r_s16_p8_224 7x7x192; deit_tiny_patch16_224 14x14x192;
deit_tiny_distilled_patch16_224 14x14x192; deit3_small_patch16_224 14x14x384;
eva02_base_patch16_clip_224 14x14x768; vit_small_patch16_rope_224 14x14x384; xcit_nano_12_p16_224
14x14x128; cait_xxs24_224 14x14x192; vgg11 7x7x512; vgg11_bn 7x7x512; volo_d1_224 14x14x384;
tnt_s_patch16_224 14x14x384; mvitv2_base_cls 7x7x768; coat_lite_tiny 7x7x320; convit_tiny 14x14x192;
test_vit 10x10x64
"""
FEATURES_ONLY = """
crossvit_tiny_240 14x14x192; coat_tiny 7x7x152; pit_ti_224 7x7x256; pit_ti_distilled_224 7x7x256;
efficientvim_m1 4x4x320
"""


@dataclass(frozen=True, slots=True)
class Family:
    """A model and what the study of 163 families found for it."""

    name: str
    grid: tuple[int, int]
    dim: int
    verdict: str
    readout: str | None


def _families(text: str, verdict: str, readout: str | None) -> list[Family]:
    found = []
    for entry in text.replace("\n", " ").split("; "):
        name, shape = entry.split()
        height, width, dim = (int(part) for part in shape.split("x"))
        found.append(Family(name, (height, width), dim, verdict, readout))
    return found


FAMILIES = {
    family.name: family
    for family in (
        *_families(EXACT, "exact", "linear"),
        *_families(NORM_LINEAR, "exact-affine", "norm_linear"),
        *_families(TAYLOR, "exact-affine", "taylor"),
        *_families(ATTENTION, "exact-attn", "attention"),
        *_families(POINTWISE_ONLY, "pointwise-only", None),
        *_families(FEATURES_ONLY, "features-only", None),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the generic path found, and the errors of its readouts (see `relative_error`)."""

    anatomy: Anatomy
    exact_error: float | None
    pointwise_error: float | None
    seconds: float


def measure(name: str, count: int = 4, seed: int = 0) -> Finding:
    """Build a model with random, undegenerate weights and take it apart, on images of its own size."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    with quietly():
        model = timm.create_model(name).eval()
    images = draw_images(int(model.pretrained_cfg["input_size"][-1]), seed, count)
    randomise(model, images, seed)
    anatomy = dissect(Tower(model), images)
    exact, pointwise = errors(anatomy, images)
    return Finding(anatomy, exact, pointwise, time.perf_counter() - start)


@torch.no_grad()
def errors(anatomy: Anatomy, images: Tensor) -> tuple[float | None, float | None]:
    """Errors of the exact and the pointwise readout, None where there is none."""
    raw, output = anatomy.tower.run(images)
    features, _ = anatomy.layout.split(raw)
    exact = pointwise = None
    if anatomy.readout is not None:
        scores = anatomy.split(raw, features, features.mean((1, 2)))
        exact = relative_error(scores.mean((1, 2)), output)
    if anatomy.function is not None:
        cells = anatomy.function(features.flatten(0, 2)).reshape(*features.shape[:3], -1)
        pointwise = relative_error(cells.mean((1, 2)), output)
    return exact, pointwise


def draw_images(size: int, seed: int = 0, count: int = 4) -> Tensor:
    """Random images with structure at several scales, so that cells differ: (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.2 * torch.randn(count, 3, size, size, generator=generator)
    for cells in (3, 9, 27):
        coarse = torch.randn(count, 3, cells, cells, generator=generator)
        images += nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return images / 2


@torch.no_grad()
def randomise(model: nn.Module, images: Tensor, seed: int = 0) -> None:
    """No weight stays at a value that hides an error: norms, LayerScale, zero-inits, BatchNorm statistics."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if "Norm" in type(module).__name__ and getattr(module, "weight", None) is not None:
            module.weight.uniform_(0.5, 1.5, generator=generator)
            if getattr(module, "bias", None) is not None:
                module.bias.normal_(0, 0.2, generator=generator)
    for name, parameter in model.named_parameters():
        if any(part in name.split(".") for part in ("gamma", "gamma1", "gamma2", "layer_scale", "scale")):
            parameter.uniform_(0.2, 0.6, generator=generator)
        elif parameter.ndim >= 2 and parameter.abs().max() < 1e-6:
            parameter.normal_(0, 0.02, generator=generator)
    _calibrate(model, images)


def _calibrate(model: nn.Module, images: Tensor) -> None:
    """BatchNorm statistics of these images, as a trained model would have them."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the plain average over the batches seen
        norm.reset_running_stats()
        norm.train()
    if norms:
        model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        # a few images leave some channels next to no variance, as no training set does
        norm.running_var.clamp_(min=0.1 * float(norm.running_var.mean()))
        norm.eval()


def main(names: list[str]) -> None:
    """Print the table."""
    print("| model | grid x dim | verdict | readout | exact error | pointwise error | s |")
    print("|---|---|---|---|---|---|---|")
    for name in names or FAMILIES:
        found = measure(name)
        layout = found.anatomy.layout
        shape = f"{layout.grid[0]}x{layout.grid[1]}x{layout.dim}"
        exact, pointwise = (_shown(error) for error in (found.exact_error, found.pointwise_error))
        verdict, readout = found.anatomy.verdict, found.anatomy.readout or "-"
        print(
            f"| {name} | {shape} | {verdict} | {readout} | {exact} | {pointwise} | {found.seconds:.1f} |",
            flush=True,
        )


def _shown(error: float | None) -> str:
    return "-" if error is None else f"{error:.1e}"


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(sys.argv[1:])
