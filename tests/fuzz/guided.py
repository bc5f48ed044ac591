"""One target under atheris: ``python guided.py TARGET [OPTION OF LIBFUZZER …]``; ``run.py`` starts it."""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["sipagent"]):
    from fuzz.targets import TARGETS


def main(program: str, name: str, *options: str) -> None:
    """Fuzz until an option, or a bug, says stop."""
    atheris.Setup([program, *options], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv)
