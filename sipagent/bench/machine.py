"""The machine on which it was measured: without it, figures are no more than figures."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("uvloop", "picows", "numpy", "msgspec", "onnxruntime")
"""On which the figures depend."""


def describe_machine() -> dict[str, Any]:
    """For a file."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "available": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": dict(_versions()),
        "load_average": round(os.getloadavg()[1], 2),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line for line in lines if line.startswith("model name")), f": {platform.machine()}")
    return " ".join(name.partition(":")[2].split())


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
