"""A benchmark for machine unlearning: did the model forget as if it had been retrained without the forget set.

From Python: :func:`run`, :func:`evaluate`, :func:`audit`, :func:`load_results`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearn_bench.api import evaluate, load_results, run
    from unlearn_bench.auditing import audit

__all__ = ["audit", "evaluate", "load_results", "run"]
__version__ = version("unlearn-bench")


def __getattr__(name: str) -> Any:
    """Imports what Python code asks for when it does: the command line starts without torch."""
    if name == "audit":
        from unlearn_bench.auditing import audit as found

        return found
    if name in __all__:
        from unlearn_bench import api

        return getattr(api, name)
    raise AttributeError(f"module 'unlearn_bench' has no attribute '{name}'")
