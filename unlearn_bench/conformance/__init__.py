"""Proof that a method is what it says: each check runs it on small problems of real images and looks at what it did.

A check is one decorated function of ``checks`` or ``given``; its docstring's first line is what holds where it passes.
The command ``check-method`` and the contract tests run the same list. What no check can see: a divergence written out
by hand, and data that a method carries in its own code. What no check of one process can enforce,
:mod:`unlearn_bench.guards` says.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from unlearn_bench.conformance.scene import Scene
from unlearn_bench.methods import Method

Verdict = Literal["holds", "broken", "does not apply"]


class BrokenError(Exception):
    """The method does not hold what the check asks; the message says what it did."""


class NotApplicableError(Exception):
    """The check asks nothing of this method; the message says why."""


@dataclass(frozen=True)
class Finding:
    """What a check found of a method; ``detail`` is empty where it holds."""

    check: str
    title: str
    verdict: Verdict
    detail: str = ""


Check = Callable[[Method, Scene], None]  # raises BrokenError or NotApplicableError
_checks: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Adds a check, in the order of the file."""
    _checks[function.__name__] = function
    return function


def all_checks() -> dict[str, Check]:
    """Returns every check by its name."""
    for name in ("checks", "given"):  # which add them
        importlib.import_module(f"unlearn_bench.conformance.{name}")
    return dict(_checks)


def examine(method: Method, scene: Scene, names: Sequence[str] | None = None) -> Iterator[Finding]:
    """Yields a finding for every check, each as soon as it is made.

    Args:
        method: any registered one.
        scene: where it is tried.
        names: of the checks to make; None for all.
    """
    known = all_checks()
    for name in names or known:
        title = (known[name].__doc__ or "").splitlines()[0].rstrip(".")
        try:
            known[name](method, scene)
        except BrokenError as problem:
            yield Finding(name, title, "broken", str(problem))
        except NotApplicableError as reason:
            yield Finding(name, title, "does not apply", str(reason))
        except Exception as problem:  # a method may be anyone's: what it raises is a finding
            yield Finding(name, title, "broken", f"it raised {type(problem).__name__}: {problem}")
        else:
            yield Finding(name, title, "holds")
