"""What a forget set is: a function from a data set and the user's words to a :class:`ForgetSplit`, one file each."""

from __future__ import annotations

from collections.abc import Callable

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.registry import Entry, Registry

settings: Registry[Entry] = Registry("setting", __name__)


def setting(
    *, name: str, label: str, source: str
) -> Callable[[Callable[[Dataset, str], ForgetSplit]], Callable[[Dataset, str], ForgetSplit]]:
    """Registers a setting: a function from (data set, forget set as the user spells it) to the split.

    The name is given, since the field's word for the first one, ``class``, cannot name a function.
    """

    def register(function: Callable[[Dataset, str], ForgetSplit]) -> Callable[[Dataset, str], ForgetSplit]:
        settings.add(Entry(name, label, source, function))
        return function

    return register
