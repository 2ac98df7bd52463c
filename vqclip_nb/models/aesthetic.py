"""AestheticHead: published linear heads that rate CLIP embeddings of pictures from 0 to 10."""

from __future__ import annotations

from torch import Tensor

from vqclip_nb.models.catalog import home
from vqclip_nb.models.checkpoints import read_weights
from vqclip_nb.models.errors import BrokenWeights, CannotFetch

HEADS = {  # by perceptor: the file, and where it is published
    "ViT-B/32": ("sa_0_4_vit_b_32_linear.pth", "github.com/LAION-AI/aesthetic-predictor"),
    "ViT-L/14": ("sa_0_4_vit_l_14_linear.pth", "github.com/LAION-AI/aesthetic-predictor"),
    "ViT-B/16": ("ava_vit_b_16_linear.pth", "pixray's AestheticLoss.py"),
}


def load_aesthetic_head(perceptor: str) -> tuple[Tensor, float]:
    """The head of a perceptor: its weights, (d,), and its bias. Raises KeyError for a perceptor without one.

    The file is read from the folder `aesthetic` of the cache; it is not downloaded. Raises CannotFetch when it is
    missing, and BrokenWeights.
    """
    name, source = HEADS[perceptor]
    path = home() / "aesthetic" / name
    if not path.is_file():
        raise CannotFetch(f"the loss aesthetic needs {name} (see {source}): put it at {path}")
    tensors = read_weights(path).tensors
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is None or bias is None or weight.dim() != 2 or len(weight) != 1 or bias.numel() != 1:
        raise BrokenWeights(f"{name} must hold weight (1, d) and bias (1), got {sorted(tensors)}")
    return weight[0].float().clone(), float(bias)
