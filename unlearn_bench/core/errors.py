"""The errors that a user can cause or see. The command line prints each as one sentence and sets an exit code.

UserError                 wrong use: exit code 2
├─ ConfigError            benchmarks.yaml has an unknown key or a wrong value
├─ UnknownNameError       no such method, metric, dataset, model, scenario, profile, table
├─ OptionError            a hyper-parameter that does not exist or a value out of its range
├─ TuningError            every trial of a search failed or diverged
├─ PluginError            a plug-in file is missing or fails
├─ CheckpointError        weights are missing, would run code, or are of another architecture
├─ UnmeasurableError      a metric has no value for these outputs
├─ DataError              images are missing, unreadable or of the wrong shape
├─ FileError              a file cannot be written: no space left, or no permission
├─ WorkerError            a worker process was killed
├─ MissingRunError        a report needs a run that is not recorded
├─ MissingExpectationError  a check has no recorded values to compare with
└─ StoreError             the result database cannot be opened or lacks the requested record
   └─ MissingDatabaseError  the database does not exist
ViolationError            a method broke its contract: the run is recorded as failed
DivergedError             a loss or a metric is NaN or infinite: the run is recorded as diverged
Notice                    information that requires no action
├─ PluginWarning          an installed plug-in fails to load and is skipped
├─ DataNotice             files of a data set are not read, or its layout is read in a way to know of
└─ UpgradeNotice          a database was upgraded to the schema of this version
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

EXTENSIBLE = ("method", "metric", "model", "dataset", "scenario")  # the kinds that a plug-in can add


class UserError(Exception):
    """Wrong use: the message states the bad value, what was expected, and how to fix it."""


class ConfigError(UserError):
    """benchmarks.yaml has an unknown key or a wrong value."""


class UnknownNameError(UserError):
    """A name that is not registered or defined."""


class OptionError(UserError):
    """A hyper-parameter that does not exist or a value out of its range."""


class TuningError(UserError):
    """Every trial of a search failed or diverged."""


class PluginError(UserError):
    """A plug-in file is missing or fails."""


class CheckpointError(UserError):
    """Weights are missing, would run code, or are of another architecture."""


class UnmeasurableError(UserError):
    """A metric has no value for these outputs."""


class DataError(UserError):
    """Images are missing, unreadable or of the wrong shape."""


class FileError(UserError):
    """A file cannot be written: no space left, or no permission."""


class StorageError(UserError):
    """Shared storage cannot be reached, or does not allow what is needed."""


class WorkerError(UserError):
    """A worker process was killed."""


class MissingRunError(UserError):
    """A report needs a run that is not recorded."""


class MissingExpectationError(UserError):
    """A check has no recorded values to compare with."""


class StoreError(UserError):
    """The result database cannot be opened or lacks the requested record."""


class MissingDatabaseError(StoreError):
    """The result database does not exist."""


class ViolationError(Exception):
    """A method broke its contract: it did not do what it declares, or it used data that it did not receive."""


class DivergedError(Exception):
    """A loss or a metric is NaN or infinite."""


class Notice(UserWarning):
    """Information that requires no action."""


class PluginWarning(Notice):
    """An installed plug-in fails to load and is skipped."""


class DataNotice(Notice):
    """Files of a data set are not read, or its layout is read in a way to know of."""


class UpgradeNotice(Notice):
    """A database was upgraded to the schema of this version."""


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` with the most similar name, or an empty string if no name is similar.

    >>> did_you_mean("mudda", ["muda", "scrub"])
    " Did you mean 'muda'?"
    """
    near = difflib.get_close_matches(wrong, list(names), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown_name(kind: str, name: str, names: Iterable[str]) -> UnknownNameError:
    """Returns the error for a name of a ``kind`` that is not among ``names``."""
    names = sorted(names)
    own = f" To use a {kind} of your own, pass --plugin FILE." if kind in EXTENSIBLE else ""
    return UnknownNameError(f"No {kind} named '{name}'.{did_you_mean(name, names)} Known: {', '.join(names)}.{own}")


def reason_of(problem: BaseException, *, with_type: bool = False) -> str:
    """Returns the first line of an exception of other code, without a final full stop, for a sentence of ours.

    It is the name of the type where there is no message, or where the line advises to load files unsafely.

    Args:
        problem: the exception.
        with_type: whether the type comes before the line, for code of the user, who knows the types.

    >>> reason_of(ValueError("no such layer."))
    'no such layer'
    >>> reason_of(KeyError("layer5"), with_type=True)
    "KeyError: 'layer5'"
    >>> reason_of(ValueError("Weights only load failed. Set weights_only=False"), with_type=True)
    'ValueError'
    """
    name, text = type(problem).__name__, str(problem).strip()
    line = text.splitlines()[0].rstrip(".") if text else ""
    if not line or re.search(r"weights.only|safe_globals|allow_pickle|trust_remote_code", text, re.IGNORECASE):
        return name
    return f"{name}: {line}" if with_type else line
