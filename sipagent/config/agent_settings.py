"""The settings of who answers: what agents are told, what they know, and who takes which call at what time."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct, field

from sipagent.agent.hours import Holiday, Span
from sipagent.agent.number_words import LanguageTag
from sipagent.agent.redaction import check_rule
from sipagent.agent.routing import check_pattern
from sipagent.agent.template import Template


class Words(str):
    """Instructions, with names of facts of the call in braces."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a text whose braces hold names of facts."""
        if not text:
            raise ValueError("text")
        Template.parse(text)
        return cls(text)


class CallPattern(str):
    """A pattern of :mod:`sipagent.agent.routing`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a pattern that can be compared with something."""
        check_pattern(text)
        return cls(text)


class RedactionRule(str):
    """A kind of :mod:`sipagent.agent.redaction`, or a regular expression between slashes."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a rule that says what is to be found."""
        check_rule(text)
        return cls(text)


class PrivacyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is not told to logs and followers."""

    redact: tuple[RedactionRule, ...] = ()
    languages: tuple[LanguageTag, ...] = ("en",)
    pci_pause: bool = False


class Zone:
    """A timezone."""

    __slots__ = ("info",)

    def __init__(self, info: ZoneInfo) -> None:
        self.info = info

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name such as Europe/Berlin."""
        try:
            return cls(ZoneInfo(text))
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("a timezone by its name, such as Europe/Berlin or UTC") from None

    def __str__(self) -> str:
        return self.info.key


@dataclass(frozen=True, slots=True)
class When:
    """The time within some hours, or outside them."""

    name: str
    is_outside: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``office`` or ``not office``."""
        words = text.split()
        match words:
            case ["not", name]:
                return cls(name, is_outside=True)
            case [name] if name != "not":
                return cls(name)
        raise ValueError("the name of some hours, or not and such a name")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file with text that an agent knows."""

    name: str
    file: Path

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the path of a text or Markdown file."""
        path = Path(text)
        if path.suffix.lower() not in (".md", ".markdown", ".txt"):
            raise ValueError("a text file: .md, .markdown or .txt")
        return cls(path.name, path)

    def resolve(self, folder: Path) -> Self:
        """Return it with its file found from ``folder``."""
        file = folder / self.file
        if not file.is_file():
            raise ValueError(f"a file that exists: there is no {file}")
        return replace(self, file=file)


class HoursConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """When somebody is there."""

    open: Annotated[tuple[Span, ...], Meta(min_length=1)]
    holidays: tuple[Holiday, ...] = ()
    timezone: Zone | None = None


class RouteConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which of a line's calls another agent takes, or nobody."""

    agent: Annotated[str, Meta(min_length=1)] | None = None
    reject: Annotated[int, Meta(ge=400, le=699)] | None = None
    called: CallPattern = CallPattern("*")
    caller: CallPattern = CallPattern("*")
    header: dict[str, CallPattern] = field(default_factory=dict)
    hours: When | None = None


class KnowledgeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent knows from files."""

    files: tuple[TextFile, ...] = ()
    prompt_characters: Annotated[int, Meta(ge=0, le=100_000)] = 6_000
    answer_characters: Annotated[int, Meta(ge=200, le=16_000)] = 2_500
