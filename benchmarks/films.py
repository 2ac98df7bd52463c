"""What a film costs: seconds a frame, and the share that the camera and the re-encoding take.

python benchmarks/films.py --threads 2
python benchmarks/films.py --threads 2 --models large --frames 2

`large` are networks of the shapes of imagenet_f16_16384 and ViT-B/32, with random weights.
"""

import argparse
import time
from contextlib import nullcontext

import torch
from speed import networks, weights

from vqclip_nb import Settings
from vqclip_nb.painting import run
from vqclip_nb.session import build_painting

EACH, FIRST = 4, 4  # steps of a frame, and of the first, which is not timed
MODELS = {"demo": {}, "large": {"canvas": "vqgan/imagenet_f16_16384", "perceptor": "ViT-B/32", "cutn": 32}}
MOVES = {"zoom": {"zoom": 1.02}, "zoom, rotation, turn": {"zoom": 1.02, "rotate": 1.0, "turn_y": 1.0}}


def measure(device: str, count: int, **more: object) -> tuple[float, float]:
    """Seconds a frame, and the seconds of it between two frames, of `count` frames of 256 x 256 pixels."""
    steps = FIRST + count * EACH
    settings = Settings(
        **{"size": 256, "steps": steps, "frame_steps": EACH, "first_steps": FIRST, "device": device, **more}
    )
    painting = build_painting(settings)
    move, between = painting.before_step, 0.0

    def timed(painting: object) -> None:
        nonlocal between
        _wait(device)
        began = time.perf_counter()
        move(painting)
        _wait(device)
        between += time.perf_counter() - began

    frames = run(painting)
    for _ in range(FIRST):
        next(frames)
    painting.before_step = timed
    began = time.perf_counter()
    for _ in frames:
        pass
    _wait(device)
    return (time.perf_counter() - began) / count, between / count


def drift(frames: int = 200) -> float:
    """The PSNR in dB of a VQGAN's picture that was only re-encoded so many times, against the first one."""
    painting = build_painting(Settings(size=128, steps=1, device="cpu"))
    list(run(painting))
    with torch.no_grad():
        first = painting.picture(tidied=False)
        image = first
        for _ in range(frames):
            painting.canvas.start_from(image)
            image = painting.canvas()
    return float(-10 * (image - first).square().mean().log10())


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--models", choices=MODELS, default="demo")
    parser.add_argument("--frames", type=int, default=8, help="frames that are timed (default: 8)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with weights(networks("large")) if arguments.models == "large" else nullcontext():
        for name, moves in MOVES.items():
            frame, between = measure(arguments.device, arguments.frames, **MODELS[arguments.models], **moves)
            share = 100 * between / (frame - between)
            speed = f"{60 / frame:.3g} frames a minute of {EACH} steps"
            print(f"{name}: {speed}; between frames {share:.1f} % of their steps", flush=True)
    if arguments.models == "demo":
        print(f"200 re-encodings of one picture by the demo VQGAN: {drift():.1f} dB of the first")


if __name__ == "__main__":
    main()
