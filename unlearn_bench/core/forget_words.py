"""How a user writes a forget set, and the spelling under which it is recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unlearn_bench.core.errors import DataError, did_you_mean
from unlearn_bench.core.image_list import list_name

LONGEST_NUMBER = 12  # maximum number of digits of a class or of a number of images
THEN = ">"  # separates the requests of a sequence; a request starts from the model that the previous one returned


def class_labels(words: str, classes: Sequence[str], dataset: str) -> list[int]:
    """Returns the labels of the classes that ``words`` names, in ascending order.

    Args:
        words: names or numbers of classes, separated by commas: ``3``, ``cat`` or ``cat, 5``; ``name:3`` and
            ``index:3`` where the name of one class is the number of another.
        classes: the name of each label.
        dataset: name of the data set, for messages.

    Raises:
        DataError: an unknown class, a class named twice, or a plain word that is the name of one class and the number
            of another.

    >>> class_labels("dog, 0", ["cat", "dog"], "pets")
    [0, 1]
    """
    labels = [_class_label(word.strip(), classes, dataset) for word in words.split(",")]
    if len(set(labels)) < len(labels):
        raise DataError(f"The forget set '{words}' names a class twice. Name each class once.")
    return sorted(labels)


def random_subset(words: str) -> str:
    """Returns the canonical spelling of a random subset: its share or number of images, ``#`` and the draw's index.

    Raises:
        DataError: ``words`` is neither a share nor a number of images.

    >>> random_subset("10 %")
    '10%#1'
    """
    digits = rf"\d{{1,{LONGEST_NUMBER}}}"
    match = re.match(rf"({digits}(?:\.{digits})?)\s*(%?)\s*(?:#\s*({digits}))?$", words.strip())
    if match is None or not (match[2] or match[1].isdecimal()):
        raise DataError(
            f"The forget set '{words}' is not a random subset. Give a share such as 10%, or a number of images."
        )
    return f"{float(match[1]):g}%#{match[3] or 1}" if match[2] else f"{int(match[1])}#{match[3] or 1}"


def sequence_of(words: str) -> list[str]:
    """Returns the sequence up to and including each of its requests.

    >>> sequence_of("1>3")
    ['1', '1>3']
    """
    requests = words.split(THEN)
    return [THEN.join(requests[: count + 1]) for count in range(len(requests))]


def canonical_forget(
    words: str, scenario: str, classes: Sequence[str], fine_classes: Sequence[str], dataset: str
) -> str:
    """Returns the canonical spelling of a forget set, under which it is recorded.

    Raises:
        DataError: a class that does not exist, or a list that cannot be read.
    """
    if THEN in words:
        requests = words.split(THEN)
        return THEN.join(canonical_forget(request, scenario, classes, fine_classes, dataset) for request in requests)
    if scenario in ("class", "incremental", "backdoor"):
        return ",".join(str(label) for label in class_labels(words, classes, dataset))
    if scenario == "subclass":
        return ",".join(fine_classes[label] for label in class_labels(words, fine_classes, dataset))
    if scenario == "list":
        return list_name(words)
    return random_subset(words) if scenario == "random" else words


def _class_label(word: str, classes: Sequence[str], dataset: str) -> int:
    kind, _, rest = word.partition(":")
    by_name = {label for label, name in enumerate(classes) if name == word}
    if not by_name and kind in ("name", "index") and rest:
        by_name = {label for label, name in enumerate(classes) if name == rest} if kind == "name" else set()
        by_number = _numbered(rest, classes) if kind == "index" else set()
    else:
        by_number = _numbered(word, classes)
    labels = by_name | by_number
    if len(labels) == 1:
        return labels.pop()
    if labels:
        raise DataError(
            f"'{word}' is the name of class {min(by_name)} of {dataset} and the number of class "
            f"'{classes[int(word)]}'. Write name:{word} or index:{word}."
        )
    near = "" if word.isdecimal() else did_you_mean(word, classes)
    raise DataError(
        f"Class '{word}' is not in {dataset}: expected 0 to {len(classes) - 1} or one of the names "
        f"{', '.join(classes[:10])}{', …' if len(classes) > 10 else ''}.{near}"
    )


def _numbered(word: str, classes: Sequence[str]) -> set[int]:
    number = int(word) if word.isdecimal() and len(word) < LONGEST_NUMBER else len(classes)
    return {number} if number < len(classes) else set()
