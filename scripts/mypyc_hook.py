"""Compiles the modules that pyproject.toml names by mypyc while a wheel is built, if HATCH_BUILD_HOOKS_ENABLE=1 is set.

Nothing is written beside the sources, where it would hide what is edited. What is made stays in ``build/mypyc``, so
that the next build compiles only what has changed.
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

OPTIMIZATION = "3"
"""What the compiler may do; 2 gains half a minute only."""

LIBRARY = "sipagent"
"""All modules are one library, ``sipagent__mypyc``, so that one calls the other without Python between them."""

LENIENT = ("--follow-imports=silent", "--no-warn-unused-ignores")
"""Faults of other modules are for `make check`; extras that are not installed are none."""


class MypycHook(BuildHookInterface[Any]):
    """Puts the compiled modules beside their sources in the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # what is edited is run
        modules = [str(Path(name)) for name in self.config["include"]]
        missing = [name for name in modules if not (Path(self.root) / name).is_file()]
        if missing:
            raise FileNotFoundError(f"pyproject.toml would have compiled what is not there: {', '.join(missing)}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(compile_modules(modules, Path(self.root, "build", "mypyc")))


def compile_modules(modules: list[str], folder: Path) -> dict[str, str]:
    """Compile modules, named by their path from here; return where each library is, and where it belongs."""
    folder = folder / str(sys.implementation.cache_tag)
    libraries = folder / "libraries"
    generated = folder / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    extensions = mypycify(
        [*LENIENT, f"--cache-dir={folder / 'mypy'}", *modules],
        opt_level=OPTIMIZATION,
        debug_level="0",
        target_dir=str(generated),
        group_name=LIBRARY,
    )
    command = build_ext(Distribution({"name": LIBRARY, "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(libraries), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    return {name: str(Path(name).relative_to(libraries)) for name in command.get_outputs()}
