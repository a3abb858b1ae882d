"""A benchmark for machine unlearning: did the model forget as if it had been retrained without the forget set."""

from importlib.metadata import version

__version__ = version("unlearn-bench")
