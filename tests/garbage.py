"""Python's collector held back: to see what would have waited for it, or to have nobody wait for it."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the collector back where callers and model are one process that keeps all it hears.

    To look through that takes 100 ms, in which they all stand still, and it would be told of the program.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def counted_references_only() -> Iterator[Counter[str]]:
    """Hold the collector back; afterwards the counter says what of ours it would have had to find, by its class."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = [type(thing) for thing in gc.garbage if type(thing).__module__.startswith("sipagent")]
        found.update(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
