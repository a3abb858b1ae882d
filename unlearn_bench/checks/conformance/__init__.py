"""Checks that a method does what it declares: each check runs the method on small problems of real images.

A check is one decorated function of ``checks`` or ``guard_checks``. The first line of its docstring is the statement
that is true if the check passes. The command ``check-method`` and the contract tests run the same checks. No check
detects a divergence written out by hand, or data that a method carries in its own code.
:mod:`unlearn_bench.running.guards` describes what cannot be enforced within one process.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from unlearn_bench.checks.conformance.test_bed import TestBed
from unlearn_bench.methods import Method

Verdict = Literal["holds", "broken", "does not apply"]


class BrokenError(Exception):
    """The method fails the check; the message says what it did."""


class NotApplicableError(Exception):
    """The check does not apply to this method; the message says why."""


@dataclass(frozen=True)
class Finding:
    """The result of a check; ``detail`` is empty if the check passes."""

    check: str
    title: str
    verdict: Verdict
    detail: str = ""


Check = Callable[[Method, TestBed], None]  # raises BrokenError or NotApplicableError
_checks: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Registers a check; the checks run in the order of the files."""
    _checks[function.__name__] = function
    return function


def all_checks() -> dict[str, Check]:
    """Returns every check, by name."""
    for name in ("checks", "guard_checks"):  # importing a file registers its checks
        importlib.import_module(f"unlearn_bench.checks.conformance.{name}")
    return dict(_checks)


def examine(method: Method, test_bed: TestBed, names: Sequence[str] | None = None) -> Iterator[Finding]:
    """Yields a finding for every check, as soon as the check has run.

    Args:
        method: the method to check.
        test_bed: images and networks for the checks.
        names: names of the checks to run; None for all.
    """
    checks = all_checks()
    for name in names or checks:
        title = (checks[name].__doc__ or "").splitlines()[0].rstrip(".")
        try:
            checks[name](method, test_bed)
        except BrokenError as problem:
            yield Finding(name, title, "broken", str(problem))
        except NotApplicableError as reason:
            yield Finding(name, title, "does not apply", str(reason))
        except Exception as problem:  # a plug-in can raise anything: it is a finding
            yield Finding(name, title, "broken", f"it raised {type(problem).__name__}: {problem}")
        else:
            yield Finding(name, title, "holds")
