"""Load the settings from a file."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sipagent.config.check import check
from sipagent.config.decode import decode
from sipagent.config.document import Node, Problem, Reader
from sipagent.config.graft import graft
from sipagent.config.settings import Config
from sipagent.errors import ConfigError

MAX_BYTES = 1 << 20
"""No settings are as long as this; a wrong file, named by mistake, may be."""


class ConfigFileError(ConfigError):
    """What is wrong with a file: all of it, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


def load(
    path: str | Path, environ: Mapping[str, str] = os.environ, *, agents: Mapping[str, Mapping[str, Any]] | None = None
) -> Config:
    """Read ``path``, and raise :class:`ConfigFileError` with every problem there is.

    :param environ: what ``${NAME}`` in the file refers to.
    :param agents: agents that are not in the file, as they would stand there; a file without lines or engines then has
        the usual ones.
    """
    reader = Reader(Path(path), environ)
    text = _read_text(reader)
    return _make(None if text is None else reader.read(text), reader, agents or {}, environ)


def make_config(agents: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str] = os.environ) -> Config:
    """Make settings without a file: agents, as they would stand in one, and the defaults.

    :raises ConfigFileError: with every problem there is; relative paths start from where we are.
    """
    return _make(Node({}, 0), Reader(Path("agents"), environ), agents, environ)


def _make(
    root: Node | None, reader: Reader, agents: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> Config:
    config = None
    if root is not None:
        for name in graft(root, agents, environ):
            reader.report(f"agents.{name}", 1, "an agent of this name is given in Python, too")
        config = decode(root, Config, reader)
        check(root, config, reader)
    if config is None or reader.problems:
        raise ConfigFileError(reader.problems)
    return config


def _read_text(reader: Reader) -> str | None:
    try:
        with reader.file.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) <= MAX_BYTES:
            return data.decode("utf-8-sig")
        reader.report("", 1, f"longer than {MAX_BYTES} bytes")
    except UnicodeDecodeError as error:
        reader.report("", error.object.count(b"\n", 0, error.start) + 1, "expected UTF-8")
    except OSError as error:
        reader.report("", 1, f"can't be read: {error.strerror}")
    return None
