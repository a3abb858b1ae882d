"""Words of older command lines that still work."""

from __future__ import annotations

from collections.abc import Sequence

OPTIONS = {"--setting": "--scenario"}
OF_COMMAND = {("audit", "--set"): "--argument"}
KINDS = {"settings": "scenarios"}  # arguments of `list`


def with_new_names(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the words of a command line with the present names, and a sentence for each name that was replaced.

    >>> with_new_names(["run", "--setting=class"])
    (['run', '--scenario=class'], ['--setting is now called --scenario.'])
    """
    renamed: list[str] = []
    notes: dict[str, None] = {}
    command = next((word for word in words if not word.startswith("-")), "")
    for k, word in enumerate(words):
        option, equals, value = word.partition("=")
        new = OF_COMMAND.get((command, option), OPTIONS.get(option))
        if k > 0 and words[k - 1] == "list" and word in KINDS:
            new, equals, value, option = KINDS[word], "", "", word
        if new is not None:
            notes[f"{option} is now called {new}."] = None
        renamed.append(word if new is None else f"{new}{equals}{value}")
    return renamed, list(notes)
