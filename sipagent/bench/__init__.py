"""Load: callers, a model on a fixed beat, and the figures of the program between them."""
