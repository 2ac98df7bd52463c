"""Drawn things: the nouns that the demo models learned from free drawings. Needs no torch."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vqclip_nb import perceptor_names, prompts

if TYPE_CHECKING:
    from vqclip_nb.settings import Settings

SCENES, THINGS = "demo", "demo-things"  # the perceptors of the painted scenes, and of scenes with drawn things
DEMO = Path(__file__).parent / "models" / "demo"
PRIOR = DEMO / "prior.safetensors"
AMBIGUOUS = ("orange",)  # a colour of the painted scenes too
ALWAYS_PLURAL = (
    *("cherries", "grapes", "pancakes", "fries", "glasses", "scissors", "blueberries", "peas", "peanuts"),
    *("noodles", "chopsticks", "sunglasses", "gloves", "socks", "jeans", "trousers", "headphones", "scales"),
    *("fireworks", "lips"),
)
SAME_IN_PLURAL = ("sheep", "fish", "deer", "moose", "bison", "shrimp", "squid", "dna")
IRREGULAR = {"mouse": "mice", "die": "dice", "leaf": "leaves", "wolf": "wolves", "goose": "geese", "ox": "oxen"}
IRREGULAR |= {"knife": "knives", "loaf": "loaves", "scarf": "scarves", "elf": "elves", "foot": "feet", "tooth": "teeth"}
IRREGULAR |= {"tomato": "tomatoes", "potato": "potatoes", "volcano": "volcanoes", "tornado": "tornadoes"}
IRREGULAR |= {"mosquito": "mosquitoes", "buffalo": "buffaloes", "superhero": "superheroes", "cactus": "cacti"}
WITHOUT_ARTICLE = (
    *ALWAYS_PLURAL,
    *("corn", "maize", "broccoli", "bread", "cheese", "popcorn", "sushi", "candy", "ice", "fire", "earth", "tea"),
    *("dice", "garlic", "salad", "bacon", "spaghetti", "pasta", "ramen", "rice", "chocolate", "honey", "salt"),
    *("milk", "champagne", "lightning", "wheat", "coral", "soap", "lavender", "yarn", "dna"),
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
# Words that stand for what the prior was trained with; the first that matches counts.
PLACES = {
    "in a snowy field": r"snow\w*|winter|arctic",
    "in the desert": r"deserts?|sand|dunes?",
    "by the sea": r"sea|oceans?|beach|shore|island|waves",
    "in a forest": r"forests?|woods|jungle",
    "in a city": r"city|town|streets?",
    "in a green meadow": r"meadows?|grass|fields?|garden|park",
}
TIMES = {
    "at night": r"night|midnight|moon\w*|stars|space",
    "at sunset": r"sunset|dusk|evening",
    "at dawn": r"dawn|sunrise|morning",
    "under a stormy sky": r"storm\w*|rain\w*|thunder",
    "by day": r"day|noon|sunny",
}
STYLES = re.compile(r"\bpencil (?:sketch|drawing)(?:es|s)?\b", re.IGNORECASE)  # not the thing
BUILDINGS = re.compile(r"\b(?:house|castle|lighthouse)s?\b", re.IGNORECASE)  # of the painted scenes
PARTS = ("window", "door")
KINDS = {"3d": r"3d", "flat": r"flat"}


@cache
def words() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Each noun's kind, the name of its drawing in the sets, and other words for it; from demo/things.toml."""
    text = (DEMO / "things.toml").read_text(encoding="utf-8")
    nouns = {}
    for kind, table in tomllib.loads(text).items():
        for noun, line in table.items():
            drawing, _, synonyms = line.partition(";")
            nouns[noun] = kind, drawing.strip(), tuple(word.strip() for word in synonyms.split(",") if word.strip())
    return nouns


def plural(noun: str) -> str:
    """The regular plural of a noun, or its irregular one."""
    if noun in ALWAYS_PLURAL or noun.endswith(SAME_IN_PLURAL):
        return noun
    for singular, several in IRREGULAR.items():
        if noun == singular or noun.endswith(f" {singular}"):
            return noun.removesuffix(singular) + several
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("man"):
        return noun.removesuffix("man") + "men"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


def named(noun: str) -> str:
    """A noun with its article, if it takes one."""
    return noun if noun in WITHOUT_ARTICLE else f"{'an' if re.match('(?!uni)[aeiou]', noun) else 'a'} {noun}"


def several(noun: str) -> str:
    """A noun as it stands after a number."""
    return noun if noun in WITHOUT_ARTICLE else plural(noun)


def caption(text: str, seed: int) -> str:
    """What a text says, in the words that the prior was trained with, such as "a cat in a forest at night".

    The first thing counts, and a second one that follows `and` or `with`. A text without a place gets one by its seed.
    """
    text = STYLES.sub("", text)
    matches = _matches(text)
    nouns = [_nouns()[match[0].lower()] for match in matches]
    first, *rest = nouns
    if matches[0][0].lower() == plural(first) != first or re.search(r"\btwo\b", text, re.IGNORECASE):
        body = f"two {several(first)}"
    elif rest and re.search(r"\b(?:and|with)\b|&|,", text[matches[0].end() : matches[1].start()]):
        body = f"{named(first)} and {named(rest[0])}"
    else:
        body = named(first)
    background = re.search(rf"\b(?:on|of) (?:an? )?({'|'.join(COLOURS)})\b(?: background)?", text, re.IGNORECASE)
    if background:
        where = f"on {named(background[1].lower())} background"
    else:
        place, time = (_first_match(table, text) for table in (PLACES, TIMES))
        where = f"{place or list(PLACES)[seed % len(PLACES)]} {time or 'by day'}"
    kind = _first_match(KINDS, text)
    return f"{body} {where}, {kind}" if kind else f"{body} {where}"


def first_in(text: str) -> str | None:
    """The drawn thing that a text names first, as it is written there, or None."""
    matches = _matches(STYLES.sub("", text))
    return matches[0][0] if matches else None


def prompt_naming(line: str) -> str | None:
    """The text of the first prompt of a line that pulls towards a drawn thing, or None. Raises SettingsError."""
    for prompt in prompts.parse(line):
        pulls = not isinstance(prompt.weight, int | float) or prompt.weight > 0
        if pulls and first_in(prompt.text):
            return prompt.text
    return None


def check(line: str) -> None:
    """Raise ValueError if no prompt of a line names a drawn thing."""
    if not prompt_naming(line):
        some = ", ".join(list(words())[:: len(words()) // 8])
        raise ValueError(f"start prior draws things that it knows, such as {some}, got {line!r}; add --start noise")


def perceptor(name: str, line: str) -> str:
    """The perceptor that serves a line of prompts: the one of drawn things in place of `demo` if the line names any."""
    return THINGS if name == SCENES and prompt_naming(line) else name


def perceptors(names: str, line: str) -> dict[str, float]:
    """The weights of perceptors joined by +, by the name of the one that serves a line of prompts."""
    return {perceptor(name, line): weight for name, weight in perceptor_names.parse(names).items()}


def drawn_by_prior(settings: "Settings") -> str | None:
    """The text that the prior draws for the start of a painting, or None if it starts otherwise."""
    if settings.init_image or settings.video or settings.start == "noise":
        return None
    if settings.start == "auto" and SCENES not in perceptor_names.parse(settings.perceptor):
        return None
    return prompt_naming(settings.prompt)


def _first_match(table: dict[str, str], text: str) -> str | None:
    """The first phrase of a table whose words are in a text."""
    found = (phrase for phrase, pattern in table.items() if re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE))
    return next(found, None)


@cache
def _nouns() -> dict[str, str]:
    """The noun of each of its forms: singular and plural, of itself and of its synonyms."""
    forms = {}
    for noun, (_, _, synonyms) in words().items():
        for word in (noun, *synonyms) if noun not in AMBIGUOUS else ():
            forms[plural(word)] = forms[word] = noun
    return forms


def _matches(text: str) -> list[re.Match[str]]:
    """The drawn things that a text names, without the windows and doors of its houses."""
    building = BUILDINGS.search(text)
    return [
        match
        for match in _pattern().finditer(text)
        if _nouns()[match[0].lower()] not in PARTS or not building or building.start() > match.start()
    ]


@cache
def _pattern() -> re.Pattern[str]:
    forms = sorted(_nouns(), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, forms))})(?![\w-])", re.IGNORECASE)
