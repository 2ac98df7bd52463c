"""Scenes: captioned pictures drawn from a seed, the whole world that the demo pair knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLOURS = {
    "red": (214, 40, 40),
    "orange": (243, 134, 30),
    "yellow": (248, 214, 50),
    "green": (48, 150, 62),
    "blue": (40, 84, 200),
    "purple": (126, 52, 168),
    "pink": (246, 142, 188),
    "brown": (122, 76, 40),
    "black": (26, 24, 28),
    "white": (246, 246, 242),
    "grey": (140, 142, 146),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond")
PLACES = {  # name: how a caption says where a thing stands
    "meadow": ("in a green meadow", "on a green meadow"),
    "desert": ("in the desert",),
    "sea": ("by the sea", "at the sea"),
    "snow": ("in a snowy field", "on a snowy field"),
    "forest": ("in a forest", "in the forest"),
    "city": ("in a city", "in the city"),
}
TIMES = {
    "day": ("by day",),
    "sunset": ("at sunset",),
    "dawn": ("at dawn",),
    "night": ("at night",),
    "storm": ("under a stormy sky",),
}
STYLES = {  # None: drawn plainly
    None: ("",),
    "oil": ("an oil painting",),
    "watercolor": ("a watercolor",),
    "pencil": ("a pencil sketch",),
    "pixel": ("pixel art",),
    "glass": ("stained glass",),
    "mosaic": ("a mosaic",),
}
MAIN = (None, "house", "castle", "tree", "boat", "lighthouse")
EXTRA = (None, "mountains", "sun", "moon", "clouds", "flowers")
COLOURED = ("house", "boat", "flowers")
HELD_OUT = 10  # one combination in ten is never shown in training


@dataclass(frozen=True)
class Scene:
    """What a picture shows: either a shape on a background, or a place with things in it."""

    shape: str | None = None
    colour: str | None = None
    background: str | None = None
    place: str | None = None
    time: str | None = None
    main: str | None = None
    main_colour: str | None = None
    extra: str | None = None
    extra_colour: str | None = None
    style: str | None = None

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept out of training; a function of the attributes alone."""
        return hashlib.blake2b(repr(astuple(self)).encode(), digest_size=8).digest()[0] % HELD_OUT == 0


def draw_scene(rng: np.random.Generator, shapes: float = 0.3) -> Scene:
    """A random scene; `shapes` is the share of shapes on a background."""

    def pick(options):
        options = tuple(options)
        return options[rng.integers(len(options))]

    style = pick(STYLES)
    if rng.random() < shapes:
        colour = pick(COLOURS)
        return Scene(shape=pick(SHAPES), colour=colour, background=pick(set_minus(COLOURS, colour)), style=style)
    place, time, main, extra = pick(PLACES), pick(TIMES), pick(MAIN), pick(EXTRA)
    if main == "boat":
        place = "sea"
    if main is None and extra is None:
        main = pick(("house", "castle", "tree", "lighthouse"))
    if extra == "sun" and time in ("night", "storm"):
        extra = "moon" if time == "night" else "clouds"
    if extra == "moon" and time not in ("night", "dawn"):
        time = "night"
    return Scene(
        place=place,
        time=time,
        main=main,
        main_colour=pick(COLOURS) if main in COLOURED else None,
        extra=extra,
        extra_colour=pick(set_minus(COLOURS, "green", "black")) if extra in COLOURED else None,
        style=style,
    )


def set_minus(options, *without):
    return [option for option in options if option not in without]


def scenes(seed: int, *, held_out: bool, shapes: float = 0.3) -> Iterator[tuple[Scene, np.random.Generator]]:
    """Endless (scene, generator) pairs from one seed; the generator paints and words that scene."""
    index = 0
    while True:
        rng = np.random.default_rng((seed, index))
        scene = draw_scene(rng, shapes)
        index += 1
        if scene.held_out == held_out:
            yield scene, rng


# --- words -----------------------------------------------------------------------------------------------------------


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def caption(scene: Scene, rng: np.random.Generator | None = None, *, whole: bool = True) -> str:
    """One way to say what the scene shows, every attribute named; without a generator always the same words.

    With `whole=False` some attributes may stay unsaid, as people leave things unsaid.
    """

    def pick(*options):
        return options[0] if rng is None else options[rng.integers(len(options))]

    def keep(share=0.7):
        return whole or rng is None or rng.random() < share

    style = pick(*STYLES[scene.style]) if keep() else ""
    if scene.shape:
        body = f"{article(scene.colour)} {scene.shape}"
        if keep(0.85):
            body += pick(
                f" on {article(scene.background)} background",
                f" on {scene.background}",
                f" in front of {article(scene.background)} background",
            )
    else:
        things = []
        if scene.main:
            things.append(article(f"{scene.main_colour} {scene.main}" if scene.main_colour else scene.main))
        if scene.extra and (keep() or not things):
            extra = f"{scene.extra_colour} {scene.extra}" if scene.extra_colour else scene.extra
            things.append(f"the {extra}" if extra in ("sun", "moon") else extra)
        if len(things) == 2 and things[1] not in ("the sun", "the moon"):
            things = pick(things, things, things[::-1])
        body = pick(" and ", " and ", " with ").join(things)
        where = pick(*PLACES[scene.place]) if keep() else ""
        if scene.main == "boat":
            where = pick("on the sea", "at sea", "by the sea") if where else ""
        when = pick(*TIMES[scene.time]) if keep() else ""
        body = " ".join(part for part in pick((body, where, when), (body, where, when), (body, when, where)) if part)
    if not style:
        return body
    if style == "pixel art":
        return pick(f"{body}, pixel art", f"pixel art of {body}")
    return pick(f"{body}, {style}", f"{style} of {body}")


def all_words() -> set[str]:
    """Every word that a caption can hold, and the small words that people put between them."""
    words = {
        "a",
        "an",
        "the",
        "of",
        "on",
        "in",
        "at",
        "by",
        "under",
        "with",
        "and",
        "front",
        "background",
        "picture",
        "painting",
        "image",
    }
    words |= {
        word for options in (*PLACES.values(), *TIMES.values(), *STYLES.values()) for o in options for word in o.split()
    }
    words |= {*COLOURS, *SHAPES, *(m for m in MAIN if m), *(e for e in EXTRA if e)}
    return words


# --- the painter -----------------------------------------------------------------------------------------------------

SKY = {  # top, middle, horizon
    "day": ((86, 164, 236), (140, 200, 246), (206, 232, 250)),
    "sunset": ((112, 62, 130), (240, 118, 60), (254, 206, 96)),
    "dawn": ((150, 170, 222), (236, 178, 202), (255, 226, 214)),
    "night": ((10, 14, 44), (20, 28, 74), (42, 54, 108)),
    "storm": ((58, 62, 72), (86, 92, 102), (128, 134, 140)),
}
LIGHT = {  # how the light colours what stands in it
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.80, 0.66),
    "dawn": (1.0, 0.90, 0.94),
    "night": (0.42, 0.46, 0.68),
    "storm": (0.66, 0.68, 0.72),
}
GROUND = {
    "meadow": (104, 176, 70),
    "desert": (228, 190, 118),
    "sea": (38, 120, 168),
    "snow": (240, 246, 252),
    "forest": (60, 108, 56),
    "city": (128, 128, 134),
}
SCALE = 2  # drawn at twice the size, then averaged down


class Easel:
    """A drawing board with coordinates from 0 to 1 and colours lit by the time of day."""

    def __init__(self, size: int, light=(1.0, 1.0, 1.0)):
        self.size = size * SCALE
        self.image = Image.new("RGB", (self.size, self.size))
        self.pen = ImageDraw.Draw(self.image)
        self.light = np.array(light)

    def lit(self, colour, strength: float = 1.0):
        light = 1 + (self.light - 1) * strength
        return tuple(int(np.clip(c * k, 0, 255)) for c, k in zip(colour, light, strict=True))

    def polygon(self, points, colour, strength=1.0):
        self.pen.polygon([(x * self.size, y * self.size) for x, y in points], fill=self.lit(colour, strength))

    def box(self, x0, y0, x1, y1, colour, strength=1.0):
        self.pen.rectangle([v * self.size for v in (x0, y0, x1, y1)], fill=self.lit(colour, strength))

    def disc(self, x, y, rx, ry, colour, strength=1.0):
        self.pen.ellipse([v * self.size for v in (x - rx, y - ry, x + rx, y + ry)], fill=self.lit(colour, strength))

    def rows(self, stops):
        """Fill with a vertical gradient through the colours of `stops`."""
        ramp = np.linspace(0, len(stops) - 1, self.size)
        columns = [np.interp(ramp, range(len(stops)), [stop[c] for stop in stops]) for c in range(3)]
        pixels = np.stack(columns, 1)[:, None].repeat(self.size, 1)
        self.image.paste(Image.fromarray(pixels.astype(np.uint8)))


def shade(colour, factor: float):
    """Darker (factor < 1) or lighter (factor > 1)."""
    if factor <= 1:
        return tuple(c * factor for c in colour)
    return tuple(c + (255 - c) * (factor - 1) for c in colour)


def paint(scene: Scene, rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """The scene as RGB uint8, (size, size, 3). Positions, sizes and textures come from the generator."""
    draw = draw_shape if scene.shape else draw_landscape
    easel = Easel(size, (1, 1, 1) if scene.shape else LIGHT[scene.time])
    draw(easel, scene, rng)
    image = easel.image.reduce(SCALE)
    return RENDER[scene.style](np.asarray(image, np.float32) / 255, rng)


def draw_shape(easel: Easel, scene: Scene, rng) -> None:
    jitter = lambda name: tuple(np.clip(np.array(COLOURS[name]) + rng.normal(0, 6, 3), 0, 255))  # noqa: E731
    back, colour = jitter(scene.background), jitter(scene.colour)
    easel.rows([shade(back, 1.06), shade(back, 0.94)])
    cx, cy = rng.uniform(0.42, 0.58, 2)
    radius = rng.uniform(0.25, 0.36)
    outline = OUTLINE[scene.shape](rng)
    points = [(cx + radius * x, cy + radius * y) for x, y in outline]
    easel.polygon(points, colour)
    if scene.shape == "ring":
        easel.disc(cx, cy, radius * 0.55, radius * 0.55, back)


def around(n: int, turn: float = 0.0, radii=(1.0,)):
    angles = np.arange(n) * 2 * np.pi / n + turn
    return [(radii[i % len(radii)] * np.sin(a), -radii[i % len(radii)] * np.cos(a)) for i, a in enumerate(angles)]


def heart_points():
    t = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(t) ** 3 / 16
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 15
    return list(zip(x, y - 0.1, strict=True))


def cross_points(arm: float = 0.36):
    corners = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    return corners + [(-x, -y) for x, y in corners]


def tilt(rng, spread=0.12):
    return rng.normal(0, spread)


OUTLINE = {
    "circle": lambda rng: around(72),
    "ring": lambda rng: around(72),
    "square": lambda rng: around(4, np.pi / 4 + tilt(rng, 0.06), (1.15,)),
    "triangle": lambda rng: around(3, tilt(rng), (1.15,)),
    "star": lambda rng: around(10, tilt(rng), (1.15, 0.46)),
    "heart": lambda rng: heart_points(),
    "cross": lambda rng: cross_points(),
    "diamond": lambda rng: [(0, -1.2), (0.72, 0), (0, 1.2), (-0.72, 0)],
}


def draw_landscape(easel: Easel, scene: Scene, rng) -> None:
    sky = [np.clip(np.array(stop) + rng.normal(0, 6, 3), 0, 255) for stop in SKY[scene.time]]
    horizon = rng.uniform(0.50, 0.60)
    easel.rows([*sky, sky[-1]])
    draw_sky(easel, scene, rng, horizon)
    if scene.extra == "mountains":
        draw_mountains(easel, rng, horizon)
    GROUNDS[scene.place](easel, rng, horizon, scene)
    if scene.main:
        x = rng.uniform(0.32, 0.68)
        MAINS[scene.main](easel, rng, x, horizon, scene)
    if scene.extra == "flowers":
        draw_flowers(easel, rng, COLOURS[scene.extra_colour])


def draw_sky(easel: Easel, scene: Scene, rng, horizon: float) -> None:
    if scene.time == "night":
        for _ in range(26):
            x, y = rng.uniform(0, 1), rng.uniform(0, horizon)
            r = rng.uniform(0.004, 0.009)
            easel.disc(x, y, r, r, (255, 250, 220), 0)
    if scene.time == "storm":
        for _ in range(5):
            cloud(easel, rng, rng.uniform(0, 1), rng.uniform(0.0, 0.16), rng.uniform(0.16, 0.26), (50, 54, 64), 0)
        x, y = rng.uniform(0.12, 0.88), 0.12
        bolt = [(0, 0), (0.05, 0), (0.015, 0.12), (0.055, 0.12), (-0.035, 0.34), (-0.005, 0.17), (-0.045, 0.17)]
        easel.polygon([(x + 1.3 * dx, y + 1.1 * dy) for dx, dy in bolt], (255, 248, 170), 0)
    if scene.extra == "sun":
        x, y = rng.uniform(0.15, 0.85), rng.uniform(0.14, 0.30) + (0.12 if scene.time != "day" else 0)
        colour = {"day": (255, 222, 60), "sunset": (255, 84, 40), "dawn": (255, 190, 110)}[scene.time]
        r = rng.uniform(0.10, 0.13)
        easel.disc(x, y, r * 1.35, r * 1.35, shade(SKY[scene.time][1], 1.35), 0)
        easel.disc(x, y, r, r, colour, 0)
    if scene.extra == "moon":
        x, y, r = rng.uniform(0.15, 0.85), rng.uniform(0.14, 0.28), rng.uniform(0.10, 0.13)
        easel.disc(x, y, r, r, (255, 250, 214), 0)
        behind = tuple(
            np.asarray(easel.image)[int(y * easel.size), min(int((x + r * 1.2) * easel.size), easel.size - 1)]
        )
        easel.disc(x + r * 0.48, y - r * 0.12, r * 0.88, r * 0.88, behind, 0)
    if scene.extra == "clouds":
        tone = {"day": (255, 255, 255), "sunset": (255, 176, 150), "dawn": (255, 244, 246)}.get(
            scene.time, (196, 202, 216)
        )
        strength = 0.35 if scene.time == "night" else 0
        for x in (rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.6), rng.uniform(0.7, 0.9)):
            cloud(easel, rng, x, rng.uniform(0.10, 0.30), rng.uniform(0.10, 0.15), tone, strength)


def cloud(easel: Easel, rng, x, y, width, colour, strength) -> None:
    for dx, dy, r in ((-0.6, 0.1, 0.42), (0, -0.12, 0.58), (0.6, 0.08, 0.46), (0.2, 0.14, 0.5)):
        easel.disc(
            x + dx * width, y + dy * width, r * width * rng.uniform(0.9, 1.1), r * width * 0.72, colour, strength
        )


def draw_mountains(easel: Easel, rng, horizon: float) -> None:
    for x, tone in ((rng.uniform(0.05, 0.3), 0.9), (rng.uniform(0.7, 0.95), 0.85), (rng.uniform(0.4, 0.6), 1.0)):
        height, half = rng.uniform(0.26, 0.40), rng.uniform(0.26, 0.34)
        rock = shade((112, 112, 134), tone)
        top = horizon - height
        easel.polygon([(x - half, horizon + 0.06), (x, top), (x + half, horizon + 0.06)], rock)
        easel.polygon([(x, top), (x + half, horizon + 0.06), (x + half * 0.1, horizon + 0.06)], shade(rock, 0.82))
        cap = 0.34
        easel.polygon(
            [(x, top), (x + half * cap, top + height * cap), (x + half * 0.10, top + height * cap * 0.7),
             (x - half * 0.12, top + height * cap), (x - half * cap, top + height * cap)],
            (246, 248, 255),
        )  # fmt: skip


def hills(easel: Easel, rng, horizon: float, colour) -> None:
    easel.box(0, horizon + 0.03, 1, 1, colour)
    for x, tone in ((rng.uniform(0.1, 0.3), 1.08), (rng.uniform(0.7, 0.95), 0.94)):
        easel.disc(x, horizon + 0.16, rng.uniform(0.4, 0.55), 0.16, shade(colour, tone))
    easel.disc(rng.uniform(0.3, 0.7), 1.12, 0.95, 0.40, shade(colour, 1.04))


def ground_meadow(easel, rng, horizon, scene):
    hills(easel, rng, horizon, GROUND["meadow"])
    for _ in range(14):
        x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.14, 0.98)
        easel.polygon([(x - 0.012, y), (x, y - 0.035), (x + 0.012, y)], shade(GROUND["meadow"], 0.78))


def ground_desert(easel, rng, horizon, scene):
    hills(easel, rng, horizon, GROUND["desert"])
    for x in (rng.uniform(0.04, 0.16), rng.uniform(0.84, 0.96)):
        y, h, green = rng.uniform(horizon + 0.14, horizon + 0.24), rng.uniform(0.15, 0.21), (62, 128, 72)
        easel.box(x - 0.016, y - h, x + 0.016, y, green)
        easel.box(x - 0.055, y - h * 0.62, x, y - h * 0.48, green)
        easel.box(x - 0.055, y - h * 0.86, x - 0.033, y - h * 0.5, green)
        easel.box(x, y - h * 0.46, x + 0.055, y - h * 0.32, green)
        easel.box(x + 0.033, y - h * 0.74, x + 0.055, y - h * 0.34, green)


def ground_sea(easel, rng, horizon, scene):
    water = GROUND["sea"]
    easel.box(0, horizon, 1, 1, water)
    for row in range(7):
        y = horizon + 0.03 + row * 0.055
        for x in np.arange(rng.uniform(-0.1, 0.1), 1.1, 0.21):
            easel.disc(x, y, 0.07, 0.008, shade(water, 1.3))
    if scene.main != "boat":
        easel.disc(rng.uniform(0.35, 0.65), 1.16, 0.86, 0.40, (232, 206, 150))


def ground_snow(easel, rng, horizon, scene):
    hills(easel, rng, horizon, (226, 236, 248))
    easel.disc(rng.uniform(0.3, 0.7), 1.12, 0.95, 0.40, GROUND["snow"])
    for _ in range(5):
        x, y = rng.uniform(0, 1), horizon + rng.uniform(0.06, 0.10)
        pine(easel, x, y, rng.uniform(0.10, 0.14), (92, 128, 122), snow=True)


def pine(easel, x, y, height, colour, snow=False):
    easel.box(x - height * 0.05, y - height * 0.15, x + height * 0.05, y, (92, 64, 44))
    for level, half in ((0.12, 0.34), (0.40, 0.27), (0.66, 0.19)):
        base, tip = y - height * level, y - height * (level + 0.42)
        easel.polygon([(x - height * half, base), (x, tip), (x + height * half, base)], colour)
        if snow:
            easel.polygon(
                [(x - height * half * 0.5, (base + tip) / 2), (x, tip), (x + height * half * 0.5, (base + tip) / 2)],
                (244, 248, 255),
            )


def ground_forest(easel, rng, horizon, scene):
    for x in np.arange(-0.02, 1.06, 0.085):
        pine(easel, x + rng.uniform(-0.02, 0.02), horizon + 0.08, rng.uniform(0.26, 0.36), (44, 96, 62))
    easel.box(0, horizon + 0.06, 1, 1, GROUND["forest"])
    easel.disc(rng.uniform(0.3, 0.7), 1.12, 0.95, 0.40, shade(GROUND["forest"], 1.1))
    for x in (*rng.uniform(-0.02, 0.14, 2), *rng.uniform(0.86, 1.02, 2)):
        pine(easel, x, horizon + rng.uniform(0.16, 0.28), rng.uniform(0.38, 0.48), (30, 82, 46))


def ground_city(easel, rng, horizon, scene):
    dark = scene.time in ("night", "storm")
    x = -0.03
    while x < 1:
        width, height = rng.uniform(0.10, 0.16), rng.uniform(0.16, 0.40)
        wall = shade((150, 152, 166), rng.uniform(0.72, 1.08))
        easel.box(x, horizon + 0.08 - height, x + width, horizon + 0.08, wall)
        glass = (255, 224, 120) if dark else (206, 226, 240)
        for wx in np.arange(x + 0.022, x + width - 0.025, 0.042):
            for wy in np.arange(horizon + 0.105 - height, horizon + 0.05, 0.056):
                easel.box(wx, wy, wx + 0.022, wy + 0.03, glass, 0 if dark else 1)
        x += width + 0.005
    easel.box(0, horizon + 0.07, 1, 1, GROUND["city"])
    easel.box(0, horizon + 0.07, 1, horizon + 0.095, shade(GROUND["city"], 1.3))
    for x in np.arange(0.04, 1, 0.24):
        easel.box(x, 0.90, x + 0.13, 0.925, (236, 232, 214))


GROUNDS = {
    "meadow": ground_meadow,
    "desert": ground_desert,
    "sea": ground_sea,
    "snow": ground_snow,
    "forest": ground_forest,
    "city": ground_city,
}


def draw_house(easel, rng, x, horizon, scene):
    colour = COLOURS[scene.main_colour]
    w, h, y = rng.uniform(0.17, 0.22), rng.uniform(0.24, 0.29), horizon + rng.uniform(0.24, 0.29)
    roof = (92, 58, 48) if scene.main_colour not in ("brown", "black") else (176, 172, 168)
    easel.box(x - w, y - h, x + w, y, colour, 0.35)
    easel.box(x + w * 0.55, y - h - 0.17, x + w * 0.78, y - h - 0.04, shade(roof, 0.9), 0.5)
    easel.polygon([(x - w * 1.2, y - h), (x, y - h - 0.17), (x + w * 1.2, y - h)], roof, 0.5)
    trim = (250, 246, 236) if scene.main_colour != "white" else (120, 150, 180)
    glass = (255, 226, 110) if scene.time in ("night", "storm") else trim
    easel.box(x - w * 0.20, y - h * 0.58, x + w * 0.20, y, (84, 54, 40), 0.5)
    for wx in (x - w * 0.64, x + w * 0.64):
        easel.box(wx - w * 0.21, y - h * 0.76, wx + w * 0.21, y - h * 0.36, glass, 0.2)


def draw_castle(easel, rng, x, horizon, scene):
    stone, y = (168, 164, 172), horizon + rng.uniform(0.22, 0.28)
    w, h = rng.uniform(0.20, 0.25), rng.uniform(0.22, 0.27)
    easel.box(x - w, y - h, x + w, y, stone, 0.6)
    for tx, th, tw in ((x - w, h * 1.6, 0.065), (x + w, h * 1.6, 0.065), (x, h * 1.95, 0.075)):
        easel.box(tx - tw, y - th, tx + tw, y, shade(stone, 0.9 if tx != x else 1.06), 0.6)
        easel.polygon([(tx - tw * 1.3, y - th), (tx, y - th - 0.14), (tx + tw * 1.3, y - th)], (92, 84, 148), 0.6)
        easel.box(tx - 0.016, y - th * 0.82, tx + 0.016, y - th * 0.68, (52, 48, 60), 0.4)
    for bx in np.arange(x - w + 0.085, x + w - 0.06, 0.062):
        easel.box(bx, y - h - 0.03, bx + 0.034, y - h, stone, 0.6)
    easel.disc(x, y - 0.07, 0.055, 0.07, (60, 44, 40), 0.4)
    easel.box(x - 0.055, y - 0.07, x + 0.055, y, (60, 44, 40), 0.4)


def draw_tree(easel, rng, x, horizon, scene):
    y, h = horizon + rng.uniform(0.24, 0.30), rng.uniform(0.52, 0.60)
    leaf = (58, 142, 54)
    easel.polygon([(x - 0.06, y), (x - 0.03, y - h * 0.5), (x + 0.03, y - h * 0.5), (x + 0.06, y)], (110, 72, 42), 0.7)
    for dx, dy, r, tone in (
        (-0.13, 0.50, 0.14, 0.86),
        (0.13, 0.52, 0.14, 0.92),
        (0, 0.72, 0.17, 1.0),
        (0, 0.52, 0.15, 1.08),
    ):
        easel.disc(x + dx, y - h * dy, r, r * 0.95, shade(leaf, tone), 0.7)


def draw_boat(easel, rng, x, horizon, scene):
    colour, y, w = COLOURS[scene.main_colour], horizon + rng.uniform(0.20, 0.26), rng.uniform(0.22, 0.27)
    mast = y - rng.uniform(0.44, 0.50)
    sail = (250, 248, 240) if scene.main_colour != "white" else (232, 200, 150)
    easel.box(x - 0.012, mast, x + 0.012, y - 0.05, (96, 66, 44), 0.5)
    easel.polygon([(x + 0.022, mast + 0.02), (x + 0.022, y - 0.09), (x + w * 0.82, y - 0.09)], sail, 0.4)
    easel.polygon([(x - 0.022, mast + 0.08), (x - 0.022, y - 0.09), (x - w * 0.66, y - 0.09)], shade(sail, 0.88), 0.4)
    easel.polygon(
        [(x - w, y - 0.07), (x + w * 1.05, y - 0.07), (x + w * 0.66, y + 0.06), (x - w * 0.66, y + 0.06)], colour, 0.35
    )


def draw_lighthouse(easel, rng, x, horizon, scene):
    y, h, w = horizon + rng.uniform(0.22, 0.28), rng.uniform(0.52, 0.60), rng.uniform(0.075, 0.09)
    top = y - h
    width_at = lambda t: w * (1.25 - 0.5 * t)  # noqa: E731
    for k in range(5):
        t0, t1 = k / 5, (k + 1) / 5
        tone = (250, 248, 242) if k % 2 else (214, 48, 44)
        y0, y1 = y - (y - top - 0.10) * t0, y - (y - top - 0.10) * t1
        easel.polygon(
            [(x - width_at(t0), y0), (x + width_at(t0), y0), (x + width_at(t1), y1), (x - width_at(t1), y1)], tone, 0.5
        )
    lamp = top + 0.10
    if scene.time in ("night", "storm"):
        for side in (-1, 1):
            easel.polygon(
                [(x, lamp - 0.04), (x + side * 0.6, lamp - 0.11), (x + side * 0.6, lamp + 0.05)], (140, 136, 120), 0
            )
    easel.box(x - w * 1.05, lamp - 0.012, x + w * 1.05, lamp + 0.012, (60, 60, 66), 0.5)
    easel.box(x - w * 0.6, lamp - 0.075, x + w * 0.6, lamp - 0.012, (255, 236, 140), 0)
    easel.polygon([(x - w * 0.85, lamp - 0.075), (x, lamp - 0.145), (x + w * 0.85, lamp - 0.075)], (176, 36, 36), 0.5)


MAINS = {
    "house": draw_house,
    "castle": draw_castle,
    "tree": draw_tree,
    "boat": draw_boat,
    "lighthouse": draw_lighthouse,
}


def draw_flowers(easel, rng, colour) -> None:
    for row, y in enumerate((0.86, 0.955)):
        for x in np.arange(0.03 + 0.05 * row, 1.02, 0.115):
            x, cy, r = x + rng.uniform(-0.015, 0.015), y + rng.uniform(-0.015, 0.015), 0.036
            easel.box(x - 0.006, cy, x + 0.006, cy + 0.10, (52, 122, 50), 0.7)
            for px, py in around(5, rng.uniform(0, 1)):
                easel.disc(x + px * r * 0.72, cy + py * r * 0.72, r * 0.62, r * 0.62, colour, 0.3)
            easel.disc(x, cy, r * 0.42, r * 0.42, (250, 214, 70) if colour != COLOURS["yellow"] else (150, 84, 30), 0.3)


# --- styles: (RGB float in [0, 1], generator) -> RGB uint8 -----------------------------------------------------------


def to_bytes(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def blur(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(to_bytes(image)).filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def smooth_noise(rng, size: int, cells: int) -> np.ndarray:
    """Noise in [-1, 1] that changes over size / cells pixels, (size, size)."""
    coarse = Image.fromarray((rng.uniform(0, 255, (cells + 3, cells + 3))).astype(np.uint8))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1


def displaced(image: np.ndarray, rng, cells: int, reach: float) -> np.ndarray:
    """The picture with every place moved by a smooth field of at most about `reach` pixels."""
    size = len(image)
    rows, columns = np.mgrid[:size, :size]
    rows = np.clip(rows + smooth_noise(rng, size, cells) * reach, 0, size - 1).astype(int)
    columns = np.clip(columns + smooth_noise(rng, size, cells) * reach, 0, size - 1).astype(int)
    return image[rows, columns]


def edges(image: np.ndarray) -> np.ndarray:
    """How sharply the colour changes at each place, (size, size) in [0, 1]."""
    grey = blur(image, 0.8)
    gy, gx = np.gradient(grey, axis=(0, 1))
    return np.clip(np.sqrt((gx**2 + gy**2).sum(-1)) * 3.2, 0, 1)


def render_plain(image, rng):
    return to_bytes(image)


def render_oil(image, rng):
    """Short thick strokes in the colours under them, warmer and deeper than the scene."""
    size = len(image)
    warm = np.clip(image * np.array([1.04, 0.98, 0.86]) + np.array([0.02, 0.0, -0.02]), 0, 1)
    grey = warm.mean(-1, keepdims=True)
    warm = np.clip(grey + (warm - grey) * 1.15, 0, 1)
    canvas = Image.fromarray(to_bytes(displaced(warm, rng, 24, size / 90)))
    pen = ImageDraw.Draw(canvas)
    points = rng.uniform(0, size, (460, 2))
    angles = 0.6 + 1.2 * smooth_noise(rng, size, 5)
    tones = rng.normal(0, 0.035, len(points))
    for (x, y), tone in zip(points, tones, strict=True):
        angle = angles[int(y), int(x)]
        dx, dy = np.cos(angle) * size / 44, np.sin(angle) * size / 44
        colour = warm[int(y), int(x)] + tone
        pen.line([x - dx, y - dy, x + dx, y + dy], fill=tuple(to_bytes(colour).tolist()), width=size // 50)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.7)))


def render_watercolor(image, rng):
    """Thin washes that pool at their edges, on white paper left bare at the rim."""
    size = len(image)
    wet = blur(displaced(image, rng, 14, size / 40), size / 160)
    wash = 1 - (1 - wet) * (0.66 + 0.10 * smooth_noise(rng, size, 7)[..., None])
    wash = wash - 0.16 * blur(np.repeat(edges(wet)[..., None], 3, 2), 1.0) * (1 - wet * 0.5)
    rows, columns = np.mgrid[:size, :size] / (size - 1)
    rim = np.minimum.reduce([rows, columns, 1 - rows, 1 - columns]) + 0.028 * smooth_noise(rng, size, 12)
    paper = np.clip((0.075 - rim) / 0.025, 0, 1)[..., None]
    return to_bytes(wash * (1 - paper) + np.array([0.985, 0.98, 0.96]) * paper)


def render_pencil(image, rng):
    """Dark outlines and slanted hatching on white paper, with a hint of the colours."""
    size = len(image)
    grey = blur(image, 1).mean(-1, keepdims=True)
    rows, columns = np.mgrid[:size, :size]
    wave = 0.5 + 0.5 * np.cos((rows + columns) * 2 * np.pi / 8)  # hatching: a line every 8 px, in step with the codes
    hatch = np.clip((0.78 - grey) * 0.62, 0, 0.5) * (0.35 + 0.65 * wave[..., None])
    tint = 0.45 * (image - image.mean(-1, keepdims=True))
    lines = 0.85 * np.clip(edges(displaced(image, rng, 30, 1.5)) * 1.5, 0, 1)[..., None]
    return to_bytes((0.97 - hatch + tint) * (1 - lines) + 0.16 * lines)


def render_pixel(image, rng):
    """Large square pixels in few colours."""
    size = len(image)
    blocks = size // 8
    small = image.reshape(blocks, 8, blocks, 8, 3).mean((1, 3))
    levels = 5
    small = np.round(np.clip((small - 0.5) * 1.12 + 0.5, 0, 1) * levels) / levels
    return to_bytes(small.repeat(8, 0).repeat(8, 1))


def render_glass(image, rng):
    """Panes of one clear colour each, between dark leads."""
    size, cells = len(image), 9
    step = size / cells
    seeds = (
        np.mgrid[-1 : cells + 1, -1 : cells + 1].transpose(1, 2, 0) + rng.uniform(0.15, 0.85, (cells + 2, cells + 2, 2))
    ) * step
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    own_row, own_column = (rows / step).astype(int) + 1, (columns / step).astype(int) + 1
    first = np.full((size, size), 1e9, np.float32)
    second, pane = first.copy(), np.zeros((size, size), int)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            r, c = own_row + dr, own_column + dc
            seed = seeds[r.clip(0, cells + 1), c.clip(0, cells + 1)]
            far = np.sqrt((seed[..., 0] - rows) ** 2 + (seed[..., 1] - columns) ** 2)
            index = r * (cells + 2) + c
            nearer = far < first
            second = np.where(nearer, first, np.minimum(second, far))
            pane = np.where(nearer, index, pane)
            first = np.where(nearer, far, first)
    clear = np.clip((image - 0.5) * 1.1 + 0.5, 0, 1)
    tone = rng.normal(0, 0.05, (cells + 2) ** 2)[pane % (cells + 2) ** 2][..., None]
    lead = np.clip((2.4 - (second - first)) / 1.2, 0, 1)
    outline = np.clip(edges(image) * 2.2 - 0.35, 0, 1)
    dark = np.maximum(lead, blur(np.repeat(outline[..., None], 3, 2), 0.8)[..., 0])[..., None]
    return to_bytes((clear + tone) * (1 - dark) + 0.07 * dark)


def render_mosaic(image, rng):
    """Small square stones, each of one colour, in pale mortar."""
    size, tile = len(image), 16
    blocks = size // tile
    stones = image.reshape(blocks, tile, blocks, tile, 3).mean((1, 3))
    stones = np.clip((stones - 0.5) * 1.1 + 0.5 + rng.normal(0, 0.035, (blocks, blocks, 1)), 0, 1)
    picture = stones.repeat(tile, 0).repeat(tile, 1)
    offset = np.arange(size) % tile
    joint = ((offset < 1) | (offset >= tile - 1)).astype(np.float32)
    mortar = np.maximum(joint[:, None], joint[None])[..., None] * 0.85
    return to_bytes(picture * (1 - mortar) + 0.80 * mortar)


RENDER = {
    None: render_plain,
    "oil": render_oil,
    "watercolor": render_watercolor,
    "pencil": render_pencil,
    "pixel": render_pixel,
    "glass": render_glass,
    "mosaic": render_mosaic,
}


# --- attributes as numbers -------------------------------------------------------------------------------------------

ATTRIBUTES = {
    "shape": (None, *SHAPES),
    "colour": (None, *COLOURS),
    "background": (None, *COLOURS),
    "place": (None, *PLACES),
    "time": (None, *TIMES),
    "main": MAIN,
    "main_colour": (None, *COLOURS),
    "extra": EXTRA,
    "extra_colour": (None, *COLOURS),
    "style": tuple(STYLES),
}


def labels(scene: Scene) -> list[int]:
    """The scene as one class index per attribute, in the order of `ATTRIBUTES`."""
    return [options.index(getattr(scene, name)) for name, options in ATTRIBUTES.items()]
