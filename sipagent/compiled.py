"""Does this process run the compiled hot path, or the source?

What is compiled, and how, is in pyproject.toml; this module is among it, which is how it knows.
"""

SOURCE = ".py"


def is_compiled() -> bool:
    """Whether the modules that run for every packet are machine code (mypyc); else Python interprets them."""
    return not __file__.endswith(SOURCE)
