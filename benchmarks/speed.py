"""How fast a step is, beside the loop that the 2021 notebooks published, on the same weights.

    python benchmarks/speed.py [--device D] [--models demo large] [--size N ...] [--variations N ...] [--tidy N]
        --json FILE

Both run in one process, a few steps of one, then of the other, and so on; the ratio is the median over these rounds.
Memory, start-up and the first frame are measured in processes of their own. `large` are networks of the shapes of
imagenet_f16_16384 and ViT-B/32 with random weights: speed does not depend on them. The published loop paints one
picture; it is taken to paint n in n times its time.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PROMPT = "a red house by the sea at sunset, an oil painting"
STAGES = ("decode", "cutouts", "perceptor", "backward")
DEFAULTS = {"demo": (192, 16), "large": (256, 32)}  # size and cutouts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", nargs="+", choices=DEFAULTS, default=["demo"])
    parser.add_argument("--size", type=int, nargs="+", help="sides in pixels (default: 192 for demo, 256 for large)")
    parser.add_argument("--variations", type=int, nargs="+", default=[1])
    parser.add_argument("--cutn", type=int, help="cutouts (default: 16 for demo, 32 for large)")
    parser.add_argument("--tidy", type=int, help="ours encodes its picture anew so often; 0, as published, never")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each loop in each round (default: 4)")
    parser.add_argument("--quick", action="store_true", help="without memory, start-up (of one picture) and saving")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--alone", choices=("plain", "ours"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    if arguments.alone:
        print(json.dumps(alone(arguments)))
        return
    report: dict[str, Any] = {**machine(arguments.device), "runs": []}
    for models in arguments.models:
        for size in arguments.size or [DEFAULTS[models][0]]:
            for variations in arguments.variations:
                found = measure(arguments, models, size, variations, report["ceiling_flops"])
                report["runs"].append(found)
                arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if not arguments.quick:
        models = arguments.models[0]
        report["saving"] = saving(arguments, models, (arguments.size or [DEFAULTS[models][0]])[0])
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))


# The published loop.


class Plain:
    """z+quantize with the pooling trick, as the notebooks have it: one picture, every operation by itself."""

    def __init__(self, pair: tuple[Any, Any], size: int, cutn: int, device: str) -> None:
        import kornia.augmentation as K
        import torch
        from torch import nn

        from vqclip_nb import models
        from vqclip_nb.models.openai_clip import part

        self.vqgan, self.clip = (network.to(device).eval().requires_grad_(False) for network in pair)
        self.cutn, self.cut_size = cutn, self.clip.visual.input_resolution
        if device.startswith("cuda"):
            part("model").convert_weights(self.clip)  # half precision, as clip.load does
        codebook, side = self.vqgan.codebook, size // self.vqgan.factor
        places = torch.randint(len(codebook), (side * side,), device=device)
        self.z = codebook[places].view(1, side, side, -1).permute(0, 3, 1, 2).clone().requires_grad_()
        self.low, self.high = (bound[None, :, None, None] for bound in (codebook.amin(0), codebook.amax(0)))
        self.optimizer = torch.optim.Adam([self.z], lr=0.1)
        self.mean = torch.tensor([0.48145466, 0.4578275, 0.40821073], device=device)[None, :, None, None]
        self.std = torch.tensor([0.26862954, 0.26130258, 0.27577711], device=device)[None, :, None, None]
        self.average, self.most = nn.AdaptiveAvgPool2d(self.cut_size), nn.AdaptiveMaxPool2d(self.cut_size)
        self.augs = nn.Sequential(
            K.RandomAffine(degrees=15, translate=(0.1, 0.1), p=0.7, padding_mode="border"),
            K.RandomPerspective(0.7, p=0.7),
            K.ColorJiggle(hue=0.1, saturation=0.1, p=0.7),  # the ColorJitter of 2021, under its name of today
            K.RandomErasing((0.1, 0.4), (0.3, 1 / 0.3), same_on_batch=True, p=0.7),
        )
        tokenizer = models.tokenizer()
        words = [49406, *tokenizer.encode(PROMPT), 49407]
        tokens = torch.tensor([words + [0] * (self.clip.context_length - len(words))], device=device)
        with torch.no_grad():
            self.target = self.clip.encode_text(tokens).float()

    def decode(self) -> Any:
        """Quantize through the one-hot matrix, decode, clamp."""
        from torch.nn import functional as F

        from vqclip_nb.gradients import clamp_with_grad, straight_through

        x, codebook = self.z.movedim(1, 3), self.vqgan.codebook
        d = x.pow(2).sum(dim=-1, keepdim=True) + codebook.pow(2).sum(dim=1) - 2 * x @ codebook.T
        x_q = F.one_hot(d.argmin(-1), codebook.shape[0]).to(d.dtype) @ codebook
        z_q = straight_through(x_q.movedim(3, 1), self.z)
        decoded = self.vqgan.decoder(self.vqgan.post_quant_conv(z_q))
        return clamp_with_grad((F.pixel_shuffle(decoded, self.vqgan.patch_size) + 1) / 2)

    def cutouts(self, image: Any) -> Any:
        """Each pooled by itself, then four augmentations, then noise."""
        import torch

        views = [(self.average(image) + self.most(image)) / 2 for _ in range(self.cutn)]
        batch = self.augs(torch.cat(views, dim=0))
        return batch + batch.new_empty([self.cutn, 1, 1, 1]).uniform_(0, 0.1) * torch.randn_like(batch)

    def perceptor(self, views: Any) -> Any:
        """The mean distance of all views from the text."""
        from torch.nn import functional as F

        normal = (views - self.mean) / self.std
        seen = self.clip.encode_image(normal.to(self.clip.visual.conv1.weight.dtype)).float()
        x, y = F.normalize(seen.unsqueeze(1), dim=2), F.normalize(self.target.unsqueeze(0), dim=2)
        return x.sub(y).norm(dim=2).div(2).arcsin().pow(2).mul(2).mean()

    def backward(self, loss: Any) -> None:
        loss.backward()

    def step(self) -> None:
        """One update; the loss is printed, as published, and so read."""
        import torch

        self.optimizer.zero_grad()
        loss = self.perceptor(self.cutouts(self.decode()))
        loss.item()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.z.copy_(self.z.maximum(self.low).minimum(self.high))


# Ours.


class Ours:
    """`session.build_painting` and `Painting.step`, at the default settings but for what is asked for here."""

    def __init__(self, pair: tuple[Any, Any], settings: Any) -> None:
        from vqclip_nb.objectives import Guide
        from vqclip_nb.session import build_painting

        with weights(pair):
            self.painting = build_painting(settings)
        self.guides = [term.objective for term in self.painting.terms if isinstance(term.objective, Guide)]

    def step(self) -> None:
        self.painting.step()

    def decode(self) -> Any:
        return self.painting.canvas()

    def cutouts(self, image: Any) -> Any:
        from vqclip_nb.rng import Draws

        draws = Draws(self.painting.settings.seeds, 1, self.painting.device)
        return [guide.cutouts(image, draws.of(guide.perceptor.name), 0.0) for guide in self.guides]

    def perceptor(self, views: Any) -> Any:
        from vqclip_nb.objectives import great_circle

        total = 0
        for guide, part in zip(self.guides, views, strict=True):
            with guide.precision.within(part.device):
                seen = guide.perceptor.encode_image(part)
            total = total + great_circle(seen[:, None], guide.embeddings[0]).mean()
        return total

    def backward(self, loss: Any) -> None:
        loss.backward()
        self.painting.canvas.zero_grad()


def settings_of(arguments: argparse.Namespace, models: str, size: int, variations: int, **more: Any) -> Any:
    """Ours keeps no frame here: what that costs is measured by itself."""
    from vqclip_nb import Settings

    cutn = arguments.cutn or DEFAULTS[models][1]
    values: dict[str, Any] = {"size": (size, size), "cutn": cutn, "variations": variations, "device": arguments.device}
    if arguments.tidy is not None:
        values["tidy"] = arguments.tidy
    if models == "large":  # by whose names there is one perceptor; `weights` gives the networks
        values |= {"canvas": "vqgan/imagenet_f16_16384", "perceptor": "ViT-B/32"}
    return Settings(**{"prompt": PROMPT, **values, "every": 100_000, "steps": 100_000, **more})


def networks(models: str) -> tuple[Any, Any]:
    """A VQGAN and a CLIP as published, unchanged."""
    from tests import standins
    from vqclip_nb.models import info, load_clip, load_vqgan, openai_clip, vqgan

    if models == "demo":
        return load_vqgan("demo"), load_clip("demo")
    state = standins.listed(ROOT / "tests" / "data" / "keys_f16_imagenet_16384.txt")
    config = vqgan.VQGANConfig.from_taming(info("imagenet_f16_16384", "vqgan").config or {})
    clip = openai_clip.part("model").CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
    named = {name: value for key, value in state.items() if (name := vqgan.needed(key))}
    return vqgan.build(config, named), clip.eval().requires_grad_(False)


@contextmanager
def weights(pair: tuple[Any, Any]) -> Iterator[None]:
    """Copies of these networks, whatever name is asked for."""
    with (
        mock.patch("vqclip_nb.models.load_vqgan", side_effect=lambda name: copy.deepcopy(pair[0]), create=True),
        mock.patch("vqclip_nb.models.load_clip", side_effect=lambda name, **_: copy.deepcopy(pair[1]), create=True),
    ):
        yield


# What is measured.


def measure(arguments: argparse.Namespace, models: str, size: int, variations: int, ceiling: float) -> dict[str, Any]:
    """Both loops in turn. Rates count one picture's step as one."""
    pair, settings = networks(models), settings_of(arguments, models, size, variations)
    device = device_of(arguments.device)
    ours = Ours(pair, settings)
    plain = Plain(pair, size, settings.cutn, device)
    wait = waiting(device)
    ours.step()  # the first one is kept, and so shows the average
    counted = {"plain": flops(plain.step)}
    # On a GPU ours is replayed from graphs, which nobody sees into: it is given the published arithmetic, not its own.
    counted["ours"] = variations * counted["plain"] if device.startswith("cuda") else flops(ours.step)
    rounds = in_turn([plain.step, ours.step], arguments.rounds, arguments.seconds, wait)
    steps = [[statistics.median(kind) for kind in zip(*column, strict=True)] for column in zip(*rounds, strict=True)]
    found: dict[str, Any] = {"models": models, "size": size, "variations": variations, "cutn": settings.cutn}
    found["ratio"] = round(statistics.median(variations * p[0] / o[0] for p, o in rounds), 3)
    found["cpu_ratio"] = round(statistics.median(variations * p[1] / o[1] for p, o in rounds), 3)
    for name, loop, (seconds, cpu), many in (
        ("plain", plain, steps[0], 1),
        ("ours", ours, steps[1], variations),
    ):
        found[name] = {
            "steps_per_second": round(many / seconds, 4),
            "cpu_seconds_per_step": round(cpu / many, 4),
            "gflop_per_step": round(counted[name] / many / 1e9, 2),
            "gflops": round(counted[name] / seconds / 1e9, 1),
            "share_of_ceiling": round(counted[name] / seconds / ceiling, 3),
            "stages": stages(loop, seconds, wait),
        }
        if not arguments.quick and variations == 1:
            found[name] |= in_a_process(arguments, name, models, size, variations)
    return found


def in_turn(
    works: list[Callable[[], None]], rounds: int, seconds: float, wait: Callable[[], None]
) -> list[list[tuple[float, float]]]:
    """Seconds, and seconds of all processors, of a step of each, round by round."""
    counts = [max(1, round(seconds / timed(work, 1, wait)[0])) for work in works]
    return [[timed(work, count, wait) for work, count in zip(works, counts, strict=True)] for _ in range(rounds)]


def timed(work: Callable[[], Any], count: int, wait: Callable[[], None]) -> tuple[float, float]:
    wait()
    clock, cpu = time.perf_counter(), processors()
    for _ in range(count):
        work()
    wait()
    return (time.perf_counter() - clock) / count, (processors() - cpu) / count


def processors() -> float:
    """Seconds of all processors, of this process and of the programs that it ran."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def stages(loop: Any, whole: float, wait: Callable[[], None]) -> dict[str, float]:
    """The share of each stage of a step; the rest is what a whole step took beyond them."""
    count = 5 if whole < 2 else 2
    spent = dict.fromkeys(STAGES, 0.0)
    for _ in range(count):
        value: Any = None
        for stage in STAGES:
            wait()
            start = time.perf_counter()
            value = getattr(loop, stage)(*([] if value is None else [value]))
            wait()
            spent[stage] += (time.perf_counter() - start) / count
    total = max(whole, sum(spent.values()))
    shares = {stage: round(seconds / total, 3) for stage, seconds in spent.items()}
    return {**shares, "rest": round(1 - sum(shares.values()), 3)}


def flops(work: Callable[[], None]) -> int:
    """Of one step, as torch counts them; one by Winograd's transforms counts as the plain convolution it stands for."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def winograd(x: Any, weight: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
        return 2 * math.prod(weight) * int(x[0]) * math.prod(out_shape[2:])

    mapping = {torch.ops.aten._nnpack_spatial_convolution: winograd}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        work()
    return int(counter.get_total_flops())


def in_a_process(arguments: argparse.Namespace, name: str, models: str, size: int, variations: int) -> dict[str, float]:
    """Start-up, first frame and peak memory of a loop that is alone in a fresh process."""
    words = ["--alone", name, "--models", models, "--size", str(size), "--variations", str(variations)]
    words += ["--cutn", str(arguments.cutn)] if arguments.cutn else []
    words += ["--tidy", str(arguments.tidy)] if arguments.tidy is not None else []
    words += ["--device", arguments.device, "--json", os.devnull]
    run_result = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return dict(json.loads(run_result.stdout.splitlines()[-1]))


def alone(arguments: argparse.Namespace) -> dict[str, float]:
    """What `in_a_process` runs. The making of stand-ins is not counted; loading the demo pair is."""
    start = time.perf_counter()
    models, size, variations = arguments.models[0], arguments.size[0], arguments.variations[0]
    settings, device = settings_of(arguments, models, size, variations), device_of(arguments.device)
    made = time.perf_counter()
    pair = networks(models)
    free = time.perf_counter() - made if models == "large" else 0.0
    loop: Any = Ours(pair, settings) if arguments.alone == "ours" else Plain(pair, size, settings.cutn, device)
    wait = waiting(device)
    wait()
    ready = time.perf_counter() - start - free
    loop.step()
    wait()
    first = time.perf_counter() - start - free
    loop.step()
    wait()
    return {"start_seconds": round(ready, 2), "first_frame_seconds": round(first, 2), "peak_gb": peak(device)}


def peak(device: str) -> float:
    """On a GPU what torch held of it at most; else the process's resident memory."""
    import torch

    if device.startswith("cuda"):
        return round(torch.cuda.max_memory_reserved() / 1e9, 3)
    status = Path("/proc/self/status")  # what `resource` says begins with the parent's
    if status.exists():
        return round(int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1e6, 3)
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9, 3)


def saving(arguments: argparse.Namespace, models: str, size: int) -> dict[str, float]:
    """What a run's folder costs, as shares of a bare step's time, by the clock and of the processors.

    frames: steps that are kept, their files waited for (on a GPU after each fifty), beside bare ones, in turn. state: a
    saving every 20 seconds. preview: one every half second, as the panel makes them. film: with the result, over the
    steps of a run.
    """
    from vqclip_nb import Settings
    from vqclip_nb.images import to_pils
    from vqclip_nb.session import build_painting, start
    from vqclip_nb.studio.previews import PREVIEW_SIDE, jpeg

    device, pair = device_of(arguments.device), networks(models)
    wait, at_once = waiting(device), 50 if device.startswith("cuda") else 1
    steps = Settings().steps * min(at_once, 10)
    with tempfile.TemporaryDirectory() as out, weights(pair):
        settings = settings_of(arguments, models, size, 1, out=out, every=1, steps=steps, save_every="100000")
        active, bare = start(settings), build_painting(settings.replace(steps=100_000, every=100_000))
        frames, record = iter(active), active.record

        def without() -> None:
            for _ in range(at_once):
                bare.step()

        def kept() -> None:
            for _ in range(at_once):
                next(frames)
            record._writer.flush()

        for _ in range(2):
            without(), kept()
        count = min(12 * arguments.rounds, steps // at_once - 3)
        pairs = [(timed(without, 1, wait), timed(kept, 1, wait)) for _ in range(count)]
        image = active.painting.picture()
        state = timed(lambda: record.save(active.painting), 3, wait)
        preview = timed(lambda: jpeg(to_pils(image)[0], PREVIEW_SIDE), 10, wait)
        list(frames)
        film = timed(lambda: record.finish(active.painting), 1, wait)
    shares = {}
    for name, kind in (("", 0), ("cpu_", 1)):
        step = statistics.mean(pair[0][kind] for pair in pairs) / at_once
        shares[f"{name}frames"] = statistics.mean(pair[1][kind] for pair in pairs) / at_once / step - 1
        shares[f"{name}state"] = state[kind] / 20
        shares[f"{name}preview"] = preview[kind] / 0.5
        shares[f"{name}film"] = film[kind] / (steps * step)
    return {name: round(share, 4) for name, share in shares.items()}


def device_of(name: str) -> str:
    from vqclip_nb import device

    return str(device.choose(name))


def waiting(device: str) -> Callable[[], None]:
    """Waits for all that a device was given to do."""
    import torch

    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def machine(name: str) -> dict[str, Any]:
    """Where and when this was measured, and the products a second that it reaches at best: bf16 on a GPU."""
    import torch

    device = device_of(name)
    gpu = device.startswith("cuda")
    side, dtype = (8192, torch.bfloat16) if gpu else (2048, torch.float32)
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    wait = waiting(device)
    timed(lambda: one @ other, 3, wait)
    best = min(timed(lambda: one @ other, 3, wait)[0] for _ in range(8))
    processor = torch.cuda.get_device_name(device) if gpu else f"{os.cpu_count()} {platform.machine()} cores"
    return {
        "device": processor,
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "ceiling_dtype": str(dtype).removeprefix("torch."),
        "ceiling_flops": 2 * side**3 / best,
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    messages = [f"{report['device']}, {report['date']}, torch {report['torch']}, {report['threads']} threads, "]
    messages[0] += f"load before {report['load_before']}; ceiling {report['ceiling_flops'] / 1e9:.0f} GFLOP/s"
    messages[0] += f" in {report['ceiling_dtype']}"
    heads = ("models", "size", "n", "cutn", "loop", "steps/s", "ratio", "CPU-s", "GFLOP", "GFLOP/s", "of ceiling")
    heads += (*STAGES, "rest", "start", "1st frame", "peak GB")
    messages += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for run in report["runs"]:
        for name in ("plain", "ours"):
            loop = run[name]
            cells = [run["models"], run["size"], run["variations"], run["cutn"], name, loop["steps_per_second"]]
            cells += [f"{run['ratio']:.2f}" if name == "ours" else "1", loop["cpu_seconds_per_step"]]
            cells += [loop["gflop_per_step"], loop["gflops"], f"{loop['share_of_ceiling']:.0%}"]
            cells += [f"{loop['stages'][stage]:.0%}" for stage in (*STAGES, "rest")]
            cells += [loop.get(key, "") for key in ("start_seconds", "first_frame_seconds", "peak_gb")]
            messages.append("| " + " | ".join(map(str, cells)) + " |")
    if "saving" in report:
        messages += ["", "Watching and saving, as shares of the steps' time (cpu: of the processors):", ""]
        messages += [f"- {name.replace('_', ' ')}: {share:.2%}" for name, share in report["saving"].items()]
    return "\n".join(messages)


if __name__ == "__main__":
    main()
