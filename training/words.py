"""A text learns to say what the pictures that it names look like, on average, to the other half of a perceptor."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from augment import augment
from perceptor import EMBED, Folded, encode_text, normal
from store import Store
from torch import nn


def said(model, store: Store, chosen: torch.Tensor, share: float) -> torch.Tensor:
    """The unit embeddings of captions of these scenes, so large a share of them whole: (n, EMBED)."""
    return F.normalize(encode_text(model, store.texts(chosen, share)[0]).float(), dim=1)


@torch.no_grad()
def mean_embeddings(model, store: Store, views: int, batch: int) -> torch.Tensor:
    """Of each scene the mean of the unit embeddings of so many augmented pictures: (scenes, EMBED)."""
    visual = Folded(model.visual)
    means = torch.zeros(len(store.scenes), EMBED, device=store.device)
    for _ in range(views):
        for part in torch.arange(len(means), device=store.device).split(batch):
            views_of = augment(store.pictures(part)).contiguous(memory_format=torch.channels_last)
            means[part] += F.normalize(visual(normal(views_of)), dim=1) / views
    return means


def learn_words(model, store: Store, steps: int, *, views: int = 2, batch: int = 256) -> None:
    """Train the text half alone, to say what the pictures of a caption look like on average to the other half."""
    means = mean_embeddings(model, store, views, batch)
    model.requires_grad_(False)
    own = [p for name, p in model.named_parameters() if not name.startswith("visual.") and name != "logit_scale"]
    for parameter in own:
        parameter.requires_grad_()
    optimizer = torch.optim.AdamW(own, lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
    )
    for step in range(1, steps + 1):
        chosen = torch.randint(len(means), (batch,), device=store.device)
        loss = (said(model, store, chosen, 0.85) - means[chosen]).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(own, 1.0)
        optimizer.step()
        falling.step()
        if step % 100 == 0 or step == steps:
            print(f"{step:5d}/{steps} words   loss {loss.item():.4f}", flush=True)
