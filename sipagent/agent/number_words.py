"""Numbers as they are spoken, in several languages: which words stand for which digits.

What is below a hundred is known in whole; words for more than that are known by themselves, and inside others.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Final, Literal, TypeAlias
from unicodedata import combining, normalize

LanguageTag: TypeAlias = Literal["en", "de", "fr", "es", "it", "nl", "pt"]
"""The languages that are known."""

Phrase: TypeAlias = tuple[str, ...]
Words: TypeAlias = Mapping[Phrase, str]
"""Digits by the words for them, which are plain."""

MAX_WORDS: Final = 4
"""Of a phrase: "quatre-vingt-dix-sept"."""
MAX_LETTERS: Final = 64
"""Of a word of several: "neunhundertneunundneunzigtausend" has half as many."""


@dataclass(frozen=True, slots=True)
class Language:
    """How a language counts. Between other words for the same there is a bar."""

    small: str
    """From 0 to 19."""
    tens: str
    """From 20 to 90."""
    join: Callable[[str, str], tuple[str, ...]]
    """Takes a ten and a unit from 1 to 9; returns the ways to say both."""
    others: Mapping[str, int] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)
    """Words by which what is before them is multiplied."""
    link: str = ""
    """What may stand between hundreds and the rest."""


@dataclass(frozen=True, slots=True)
class Numerals:
    """What is known of the languages that are listened for."""

    words: Words
    scales: Mapping[str, int]
    links: tuple[str, ...]

    def read(self, phrase: Phrase) -> str:
        """Return the digits of a phrase of plain words; nothing if it is no number."""
        is_compound = len(phrase) == 1 and len(phrase[0]) <= MAX_LETTERS
        return self.words.get(phrase) or (self._read_compound(phrase[0]) if is_compound else "")

    def _read_compound(self, word: str) -> str:
        """"zweihundertfünfzig": split at the greatest word in it."""
        for scale, factor in self.scales.items():
            head, found, tail = word.partition(scale)
            if found and (head or tail):
                tail = next((tail[len(link) :] for link in self.links if self._links(link, tail)), tail)
                before, behind = self._read_piece(head), self._read_piece(tail)
                if bool(before) == bool(head) and bool(behind) == bool(tail):
                    return str(int(before or 1) * factor + int(behind or 0))
        return ""

    def _read_piece(self, piece: str) -> str:
        """What is left of a word; one letter is no number in it ("Milo")."""
        return str(self.scales.get(piece) or self.read((piece,))) if len(piece) > 1 else ""

    def _links(self, link: str, tail: str) -> bool:
        return tail.startswith(link) and (tail[len(link) :],) in self.words


def plain(word: str) -> str:
    """Return words without case, accents and hyphens, as all are compared."""
    word = word.casefold().replace("-", " ")
    return word if word.isascii() else "".join(each for each in normalize("NFKD", word) if not combining(each))


@cache
def numerals(tags: tuple[LanguageTag, ...]) -> Numerals:
    """Return what is known of these languages."""
    words: dict[Phrase, str] = {}
    scales: dict[str, int] = {}
    for language in map(LANGUAGES.__getitem__, tags):
        words |= {tuple(plain(phrase).split()): str(number) for phrase, number in _numbers_of(language)}
        scales |= {plain(word): factor for word, factor in language.scales.items()}
    links = sorted({LANGUAGES[tag].link for tag in tags} - {""})
    return Numerals(words, dict(sorted(scales.items(), key=lambda item: -item[1])), tuple(links))


def _numbers_of(language: Language) -> Iterator[tuple[str, int]]:
    small, tens = _alternatives(language.small), _alternatives(language.tens)
    for number, names in enumerate(small):
        yield from ((name, number) for name in names)
    for ten, names in enumerate(tens, 2):
        yield from ((name, 10 * ten) for name in names)
        for unit in range(1, 10):
            for name, unit_name in product(names, small[unit]):
                yield from ((phrase, 10 * ten + unit) for phrase in language.join(name, unit_name))
    yield from language.others.items()


def _alternatives(words: str) -> list[list[str]]:
    return [word.split("|") for word in words.split()]


def _french() -> dict[str, int]:
    """Seventies and nineties are counted from sixty and eighty on."""
    teens = [names[0] for names in _alternatives(FRENCH)]
    numbers = {f"soixante et {teens[11]}": 71, "quatre vingts": 80, "quatre vingt et un": 81}
    for number in range(20):
        rest = f" {teens[number]}" if number else ""
        numbers[f"quatre vingt{rest}"] = 80 + number
        if number >= 10:
            numbers[f"soixante{rest}"] = 60 + number
    return numbers | {"quatre vingt une": 81}


def _hundreds(words: str) -> dict[str, int]:
    """From 200 to 900, where each has a word of its own."""
    return {name: 100 * number for number, names in enumerate(_alternatives(words), 2) for name in names}


def _spaced(*links: str) -> Callable[[str, str], tuple[str, ...]]:
    return lambda ten, unit: tuple(f"{ten} {link} {unit}" for link in links)


def _unit_first(link: str) -> Callable[[str, str], tuple[str, ...]]:
    return lambda ten, unit: (f"{unit}{link}{ten}", f"{unit} {link} {ten}")


def _italian_join(ten: str, unit: str) -> tuple[str, ...]:
    """The vowel before a vowel goes: "ventuno"."""
    return (f"{ten[:-1] if unit[0] in 'uo' else ten}{unit}",)


def _spanish_join(ten: str, unit: str) -> tuple[str, ...]:
    return (f"veinti{unit}",) if ten == "veinte" else (f"{ten} y {unit}",)


FRENCH: Final = (
    "zéro un|une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
)

LANGUAGES: Final[Mapping[LanguageTag, Language]] = {
    "en": Language(
        "zero|oh|o|nought one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen",
        "twenty thirty forty|fourty fifty sixty seventy eighty ninety",
        _spaced(""),
        scales={"hundred": 100, "thousand": 1000},
        link="and",
    ),
    "de": Language(
        "null eins|ein|eine zwei|zwo drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
        "sechzehn siebzehn achtzehn neunzehn",
        "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
        _unit_first("und"),
        scales={"hundert": 100, "tausend": 1000},
        link="und",
    ),
    "fr": Language(
        FRENCH,
        "vingt trente quarante cinquante soixante septante huitante|octante nonante",
        _spaced("", "et"),
        others=_french(),
        scales={"cent": 100, "cents": 100, "mille": 1000},
    ),
    "es": Language(
        "cero un|uno|una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
        "dieciséis diecisiete dieciocho diecinueve",
        "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
        _spanish_join,
        others=_hundreds(
            "doscientos|doscientas trescientos|trescientas cuatrocientos|cuatrocientas quinientos|quinientas "
            "seiscientos|seiscientas setecientos|setecientas ochocientos|ochocientas novecientos|novecientas"
        ),
        scales={"cien": 100, "ciento": 100, "mil": 1000},
    ),
    "it": Language(
        "zero un|uno|una due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici "
        "sedici diciassette diciotto diciannove",
        "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
        _italian_join,
        scales={"cento": 100, "cent": 100, "mila": 1000, "mille": 1000},  # "centotto"
    ),
    "nl": Language(
        "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
        "achttien negentien",
        "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
        _unit_first("en"),
        scales={"honderd": 100, "duizend": 1000},
        link="en",
    ),
    "pt": Language(
        "zero um|uma dois|duas três quatro cinco seis|meia sete oito nove dez onze doze treze catorze|quatorze quinze "
        "dezesseis|dezasseis dezessete|dezassete dezoito dezenove|dezanove",
        "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
        _spaced("e"),
        others=_hundreds(
            "duzentos|duzentas trezentos|trezentas quatrocentos|quatrocentas quinhentos|quinhentas "
            "seiscentos|seiscentas setecentos|setecentas oitocentos|oitocentas novecentos|novecentas"
        ),
        scales={"cem": 100, "cento": 100, "mil": 1000},
        link="e",
    ),
}
