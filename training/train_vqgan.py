"""Train the demo VQGAN: taming's encoder and decoder around a small codebook, on crops of the painted scenes.

The codebook starts as the k-means of the first latents, follows them by moving averages, and revives dead codes
(van den Oord et al., 2017, appendix A; Łańcucki et al., 2020). Some codes are swapped for near ones while training, so
that the decoder learns to smooth over the odd wrong code, as painting will bring it many.

The last phase trains the decoder alone, encoder and codes frozen, to draw a clean scene from codes that were made
noisy, blurred and swapped: what painting brings it is never quite what an encoder would say. It becomes a denoiser that
pulls any grid of codes towards a scene, at no cost when painting; without it pictures were full of cracks.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from data import SIZE, Scenes
from PIL import Image
from safetensors.torch import save_file
from taming.modules.diffusionmodules.model import Decoder, Encoder
from torch import nn

EMBED, CODES, FACTOR = 32, 4096, 8
PATCH = 2  # the network works on patches of 2 x 2 pixels as 12 channels: no layer at the full size, a third of the time
DDCONFIG = {
    "double_z": False, "z_channels": 64, "resolution": 128, "in_channels": 3 * PATCH**2, "out_ch": 3 * PATCH**2,
    "ch": 64, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip


class Codebook(nn.Module):
    """Codes that follow the latents by moving averages."""

    def __init__(self, decay: float = 0.98):
        super().__init__()
        self.decay = decay
        self.register_buffer("codes", torch.randn(CODES, EMBED))
        self.register_buffer("counts", torch.ones(CODES))
        self.register_buffer("sums", torch.randn(CODES, EMBED))
        self.register_buffer("ready", torch.tensor(False))

    def nearest(self, flat: torch.Tensor) -> torch.Tensor:
        """Squared distances up to a constant of each row, (rows, CODES)."""
        return (self.codes**2).sum(1) - 2 * flat @ self.codes.T

    @torch.no_grad()
    def build_painting(self, flat: torch.Tensor, rounds: int = 12) -> None:
        """k-means of the given latents, (rows, EMBED)."""
        self.codes.copy_(flat[torch.randperm(len(flat))[:CODES]])
        for _ in range(rounds):
            index = self.nearest(flat).argmin(1)
            counts = torch.bincount(index, minlength=CODES).float()
            sums = torch.zeros_like(self.codes).index_add_(0, index, flat)
            empty = counts == 0
            self.codes.copy_(sums / counts.clamp(min=1)[:, None])
            self.codes[empty] = flat[torch.randperm(len(flat))[: int(empty.sum())]]
        self.counts.fill_(len(flat) / CODES / 8)
        self.sums.copy_(self.codes * self.counts[:, None])
        self.ready.fill_(True)

    @torch.no_grad()
    def follow(self, flat: torch.Tensor, index: torch.Tensor) -> None:
        counts = torch.bincount(index, minlength=CODES).float()
        self.counts.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(torch.zeros_like(self.sums).index_add_(0, index, flat), alpha=1 - self.decay)
        dead = self.counts < 0.02 * len(flat) / CODES
        if dead.any():
            fresh = flat[torch.randint(len(flat), (int(dead.sum()),))]
            self.counts[dead] = len(flat) / CODES * 0.2
            self.sums[dead] = fresh * self.counts[dead][:, None]
        self.codes.copy_(self.sums / self.counts[:, None])

    def forward(self, z: torch.Tensor, swap: float = 0.0):
        """(quantised z with a straight-through gradient, commitment, index); (n, EMBED, h, w) in and out."""
        flat = z.permute(0, 2, 3, 1).reshape(-1, EMBED)
        distance = self.nearest(flat.detach())
        index = distance.argmin(1)
        if self.training:
            self.follow(flat.detach(), index)
        chosen = index
        if swap:
            near = distance.topk(8, largest=False).indices
            other = near.gather(1, torch.randint(8, (len(near), 1), device=near.device)).squeeze(1)
            chosen = torch.where(torch.rand(len(near), device=near.device) < swap, other, index)
        value = self.codes[chosen].view(z.shape[0], z.shape[2], z.shape[3], EMBED).permute(0, 3, 1, 2)
        pull = F.mse_loss(flat, self.codes[index])
        return z + (value - z).detach(), pull, index


class VQGAN(nn.Module):
    """The parts, under the names that taming's checkpoints use."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(**DDCONFIG), Decoder(**DDCONFIG)
        self.quant_conv = nn.Conv2d(DDCONFIG["z_channels"], EMBED, 1)
        self.post_quant_conv = nn.Conv2d(EMBED, DDCONFIG["z_channels"], 1)
        self.codebook = Codebook()
        self._begin()

    @torch.no_grad()
    def _begin(self, level: float = 4.0) -> None:
        """First weights that let a small network learn soon.

        Every residual branch begins at nothing, and what passes them keeps its size. The last norms get something to
        hold on to: 32 groups over few channels are almost an instance norm, which takes the mean colour away, so that a
        flat picture could not be told from another. One channel of each group begins as a constant; against it the
        others keep their level.
        """
        for name, module in self.named_modules():
            if name.endswith((".conv2", ".proj_out")):
                module.weight.zero_()
                module.bias.zero_()
            elif isinstance(module, nn.Conv2d):
                module.weight.mul_(3**0.5)  # torch's default shrinks what passes to a third of its variance
        into_encoder = self.encoder.down[-1].block[0].nin_shortcut
        into_decoder = self.decoder.up[1].upsample.conv
        for conv, norm in ((into_encoder, self.encoder.norm_out), (into_decoder, self.decoder.norm_out)):
            group = conv.out_channels // norm.num_groups
            conv.weight[::group] = 0
            conv.bias[::group] = level
            deviation = level * (1 / group * (1 - 1 / group)) ** 0.5  # of a group that holds one `level` and noughts
            norm.weight.fill_(deviation)
            norm.bias.fill_(level / group)
            norm.bias[::group] = level / group - level

    def encode(self, image):
        return self.quant_conv(self.encoder(F.pixel_unshuffle(image, PATCH)))

    def decode(self, z):
        return F.pixel_shuffle(self.decoder(self.post_quant_conv(z)), PATCH)


def crops(data: Scenes, size: int, count: int, rng: np.random.Generator) -> torch.Tensor:
    """`count` crops on the codes' grid, (count, 3, size, size) in [-1, 1]."""
    places = (data.pictures.shape[1] - size) // FACTOR + 1
    out = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        picture = data.pictures[rng.integers(len(data.pictures))]
        top, left = rng.integers(places, size=2) * FACTOR
        out[k] = picture[top : top + size, left : left + size]
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1


def wholes(data: Scenes, count: int, rng: np.random.Generator) -> torch.Tensor:
    """In turn a whole scene made smaller and a part of one: (count, 3, 192, 192) in [-1, 1]."""
    parts = [crops(data, 192, 1, rng) for _ in range(count)]
    for k in range(0, count, 2):
        scene = Image.fromarray(data.pictures[rng.integers(len(data.pictures))])
        small = np.asarray(scene.resize((192, 192), Image.Resampling.LANCZOS))
        parts[k] = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    return torch.cat(parts)


def disturbed(z: torch.Tensor, codes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Latents with fine and coarse noise and patches of other codes, a third of them untouched: (n, EMBED, h, w)."""
    n, width, rows, columns = z.shape
    some = lambda most: torch.rand(n, 1, 1, 1, device=z.device) * most  # noqa: E731
    level = some(1.0) ** 1.5 * (some(1.0) < 0.7) * codes.std(0).mean()
    step = int(rng.integers(2, 7))
    coarse = torch.randn(n, width, -(-rows // step), -(-columns // step), device=z.device)
    z = z + level * some(1.3) * torch.randn_like(z)
    z = z + level * some(1.3) * F.interpolate(coarse, (rows, columns), mode="bilinear")
    step = int(rng.integers(1, 4))
    places = (n, -(-rows // step), -(-columns // step))
    other = codes[torch.randint(len(codes), places, device=z.device)].movedim(-1, 1)
    chosen = (torch.rand(n, 1, *places[1:], device=z.device) < level / codes.std(0).mean() * some(0.5)).float()
    other, chosen = (F.interpolate(part, (rows, columns), mode="nearest") for part in (other, chosen))
    return z + chosen * (other - z)


def settle(model: VQGAN, data: Scenes, test: Scenes, args: argparse.Namespace) -> None:
    """The last phase: the decoder learns to draw clean scenes from disturbed codes."""
    rng, began = np.random.default_rng((args.seed, 1)), time.time()
    codes = model.codebook.codes
    optimizer = torch.optim.Adam(
        [*model.decoder.parameters(), *model.post_quant_conv.parameters()], lr=6e-4, betas=(0.9, 0.99)
    )
    model.eval()
    for step in range(args.settle_steps):
        for group in optimizer.param_groups:  # rises for 30 steps, then falls along a cosine
            fallen = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / args.settle_steps))
            group["lr"] = 6e-4 * min(1, (step + 1) / 30) * fallen
        image = wholes(data, 6, rng).to(args.device)
        with torch.no_grad():
            z = disturbed(model.encode(image), codes, rng)
            nearest = model.codebook.nearest(z.permute(0, 2, 3, 1).reshape(-1, EMBED)).argmin(1)
            z = codes[nearest].view(z.shape[0], *z.shape[2:], EMBED).permute(0, 3, 1, 2)
        out = model.decode(z)
        edges = sum((a - b).abs().mean() for a, b in zip(slopes(out), slopes(image), strict=True))
        loss = 2 * F.mse_loss(out, image) + 0.5 * (out - image).abs().mean() + 0.3 * edges
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 25 == 0:
            message = f"settling {step + 1:5d}/{args.settle_steps} loss {loss.item():.4f} {time.time() - began:.0f} s"
            print(message, flush=True)
    psnr, perplexity = measure(model, test, 600)
    print(f"      held-out scenes: {psnr:.2f} dB, perplexity {perplexity:.0f}", flush=True)


def slopes(image):
    return image.diff(dim=-1), image.diff(dim=-2)


@torch.no_grad()
def measure(model: VQGAN, data: Scenes, count: int) -> tuple[float, float]:
    """(mean PSNR in dB, perplexity of the codes) over whole held-out scenes."""
    model.eval()
    ratios, used, place = [], torch.zeros(CODES), next(model.parameters()).device
    for picture in data.pictures[:count]:
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].to(place).float() / 127.5 - 1
        z, _, index = model.codebook(model.encode(image))
        error = ((model.decode(z).clamp(-1, 1) - image) / 2).square().mean()
        ratios.append(-10 * float(torch.log10(error)))
        used += torch.bincount(index, minlength=CODES).cpu()
    model.train()
    share = used / used.sum()
    return float(np.mean(ratios)), float(torch.exp(-(share * (share + 1e-12).log()).sum()))


def save(model: VQGAN, folder: Path, spread: float = 0.1) -> None:
    """A taming config and its weights, as the published models have them; fp16.

    The codes are scaled to a deviation of `spread`, so that the published step size of 0.1 is a bold one here too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("codebook.")}
    scale = spread / model.codebook.codes.std(0).mean()
    state["quantize.embedding.weight"] = model.codebook.codes * scale
    for key, factor in (
        ("quant_conv.weight", scale),
        ("quant_conv.bias", scale),
        ("post_quant_conv.weight", 1 / scale),
    ):
        state[key] = state[key] * factor
    save_file({k: v.detach().half().contiguous() for k, v in state.items()}, folder / "vqgan.safetensors")
    params = {"embed_dim": EMBED, "n_embed": CODES, "patch_size": PATCH, "tidy_every": 3, "ddconfig": DDCONFIG}
    config = {"model": {"target": "taming.models.vqgan.VQModel", "params": params}}
    (folder / "vqgan.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/cache"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("vqclip_nb/models/demo"))
    parser.add_argument("--pictures", type=int, default=14000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--warm", type=int, default=250, help="steps before the codebook is made")
    parser.add_argument(
        "--large", type=float, default=0.4, help="share of the run after which crops are 128 and 256 px, not 64"
    )
    parser.add_argument(
        "--settle-steps", type=int, default=900, help="steps on disturbed codes, the decoder alone, last"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--swap", type=float, default=0.04, help="share of codes swapped for a near one while training")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    data, test = Scenes(args.work, 0, args.pictures, held_out=False), Scenes(args.work, 1, 600, held_out=True)
    model = VQGAN().to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, betas=(0.9, 0.99))

    def rate(step: int) -> float:  # rises for 50 steps, then falls along a cosine
        return min(1, (step + 1) / 50) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1, step / args.steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    checkpoint, step = args.work / "vqgan.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=args.device)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step = state["step"]
        rng = np.random.default_rng((args.seed, step))

    began, latents = time.time(), []
    while step < args.steps:
        size = (128, SIZE)[step % 2] if step >= args.large * args.steps else 64
        image = crops(data, size, max(1, args.batch * 64**2 // size**2), rng).to(args.device)
        z = model.encode(image)
        pull = 1e-3 * z.square().mean()
        if model.codebook.ready:
            z, pull, _ = model.codebook(z, args.swap)
        elif step >= args.warm - 40:
            latents.append(z.detach().permute(0, 2, 3, 1).reshape(-1, EMBED))
            if step == args.warm - 1:
                model.codebook.build_painting(torch.cat(latents))
        out = model.decode(z)
        edges = sum((a - b).abs().mean() for a, b in zip(slopes(out), slopes(image), strict=True))
        square = F.mse_loss(out, image)
        loss = 2 * square + 0.3 * (out - image).abs().mean() + 0.3 * edges + 0.25 * pull
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 25 == 0:
            psnr = -10 * np.log10(square.item() / 4)
            message = f"{step:5d}/{args.steps} loss {loss.item():.4f} crops at {psnr:.1f} dB pull {pull.item():.4f}"
            print(f"{message} {time.time() - began:.0f} s", flush=True)
        if step % 200 == 0 or step == args.steps:
            psnr, perplexity = measure(model, test, 24 if step < args.steps else 600)
            print(f"      held-out scenes: {psnr:.2f} dB, perplexity {perplexity:.0f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    settle(model, data, test, args)
    save(model, args.out)


if __name__ == "__main__":
    main()
