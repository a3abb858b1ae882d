"""Benchmark for machine unlearning: measures whether a model forgot as if retrained without the forget set.

The functions for use from Python are :func:`run`, :func:`evaluate`, :func:`audit`,
:func:`load_results` and :func:`load_model`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearn_bench.api import evaluate, load_model, load_results, run
    from unlearn_bench.auditing import audit

__all__ = ["audit", "evaluate", "load_model", "load_results", "run"]
__version__ = version("unlearn-bench")


def __getattr__(name: str) -> Any:
    """Imports a function at its first use, so that the command line starts without importing torch."""
    if name == "audit":
        from unlearn_bench.auditing import audit as function

        return function
    if name in __all__:
        from unlearn_bench import api

        return getattr(api, name)
    raise AttributeError(f"module 'unlearn_bench' has no attribute '{name}'")
