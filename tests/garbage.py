"""Whether what has ended is freed by being let go of, or waits for the collector."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


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
