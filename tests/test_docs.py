"""The documents keep up with the program: a setting or a command that nobody described fails here."""

import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import NODEFAULT, Struct
from msgspec import inspect as kinds
from msgspec.structs import fields

from sipagent.cli import _parser
from sipagent.config import Config, load

ROOT = Path(__file__).parents[1]
SETTING = re.compile(r"^( *)#(?=\w+:)", re.MULTILINE)
"""A setting that is shown at its default: ``#key: value``, where prose has a space after its sign."""


@pytest.fixture(scope="module")
def text() -> str:
    """``config.yaml`` with every setting it shows switched on."""
    return SETTING.sub(r"\1", (ROOT / "config.yaml").read_text("utf-8"))


def keys(kind: kinds.Type, path: str = "") -> Iterator[str]:
    """Yield the path of every setting, with ``*`` for a name or a number."""
    match kind:
        case kinds.StructType():
            for field in kind.fields:
                yield from keys(field.type, f"{path}.{field.name}".lstrip("."))
        case kinds.DictType():
            yield from keys(kind.value_type, f"{path}.*")
        case kinds.VarTupleType(item_type=kinds.StructType()):
            yield from keys(kind.item_type, f"{path}.*")
        case kinds.Metadata():
            yield from keys(kind.type, path)
        case _:
            yield path


def paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of everything in a file that is at the end of a branch."""
    match value:
        case dict() if path in {"agents", "engines"}:
            for child in value.values():
                yield from paths(child, f"{path}.*")
        case dict():
            for key, child in value.items():
                yield from paths(child, f"{path}.{key}".lstrip("."))
        case [dict(), *_]:
            for child in value:
                yield from paths(child, f"{path}.*")
        case _:
            yield path


def defaults(section: Struct) -> dict[str, object]:
    """Return the default of every setting of a section that has one that means something by itself."""
    return {field.name: field.default for field in fields(section) if field.default not in (NODEFAULT, None)}


def test_config_yaml_shows_every_setting_and_no_other(text: str) -> None:
    assert set(paths(yaml.safe_load(text))) == set(keys(kinds.type_info(Config)))


def test_config_yaml_is_valid_as_it_is() -> None:
    load(ROOT / "config.yaml", {})


def test_config_yaml_is_valid_with_every_setting_switched_on(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text, "utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    load(tmp_path / "config.yaml", {})


def test_config_yaml_shows_settings_at_their_defaults(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text, "utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shown = load(tmp_path / "config.yaml", {})
    agent, engine = shown.agents["receptionist"], shown.engines["openai"]
    sections: list[Struct] = [
        shown.sip, shown.rtp, shown.lines[0], agent, agent.turn, agent.barge_in, engine, shown.control, shown.log,
    ]  # fmt: skip
    for section in sections:
        for name, value in defaults(section).items():
            assert name == "tools" or getattr(section, name) == value, name


def test_every_line_of_config_yaml_is_explained_or_plain() -> None:
    for number, line in enumerate((ROOT / "config.yaml").read_text("utf-8").splitlines(), 1):
        assert len(line) <= 120, number
        assert line == line.rstrip(), number


def verbs(parser: ArgumentParser) -> Iterator[tuple[str, ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            yield from action.choices.items()


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    found = dict(verbs(_parser()))
    assert found
    assert [verb for verb in found if f"sipagent {verb}" not in readme] == []


def test_every_command_and_option_says_what_it_does() -> None:
    for verb, parser in verbs(_parser()):
        assert parser.description, verb
        mute: list[Any] = [action.dest for action in parser._actions if not action.help]
        assert mute == [], verb


def test_every_command_of_the_makefile_is_in_its_help() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z]+):.* ## ", makefile, re.MULTILINE))
