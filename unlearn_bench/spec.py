"""What a run is, as data: its canonical JSON hashed is its identity, so that the same run is never made twice."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unlearn_bench.errors import DataError, did_you_mean

LONGEST_NUMBER = 12  # digits that a class or a number of images may have
THEN = ">"  # between the requests of a sequence, each of which starts from the model that the one before it left


def canonical_json(value: Any) -> str:
    """Returns the one JSON text of ``value``: sorted keys, no white space. Raises ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Returns the SHA-256 of ``value``'s canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def class_labels(words: str, classes: Sequence[str], dataset: str) -> list[int]:
    """Returns the labels that ``words`` mean, in order of their size: names or numbers of classes, with commas between.

    Args:
        words: as a user writes a forget set of classes: ``3``, ``cat`` or ``cat, 5``.
        classes: names by label.
        dataset: its name, for messages.

    Raises:
        DataError: no such class, a class named twice, or a word that is one class's name and another's number.
    """
    labels = [_class_label(word.strip(), classes, dataset) for word in words.split(",")]
    if len(set(labels)) < len(labels):
        raise DataError(f"The forget set '{words}' names a class twice. Name each once.")
    return sorted(labels)


def random_subset(words: str) -> str:
    """Returns the one spelling of a random subset: its share or number, ``#`` and which draw it is.

    Raises:
        DataError: words that say neither.

    >>> random_subset("10 %")
    '10%#1'
    """
    digits = rf"\d{{1,{LONGEST_NUMBER}}}"
    found = re.match(rf"({digits}(?:\.{digits})?)\s*(%?)\s*(?:#\s*({digits}))?$", words.strip())
    if found is None or not (found[2] or found[1].isdecimal()):
        raise DataError(
            f"The forget set '{words}' is no random subset. Give a share such as 10%, or a number of images."
        )
    return f"{float(found[1]):g}%#{found[3] or 1}" if found[2] else f"{int(found[1])}#{found[3] or 1}"


def user_folder(words: str) -> Path:
    """Returns the folder that a user's words mean, ``~`` written out.

    Raises:
        DataError: no path that a system could have.
    """
    try:
        return Path(words).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as problem:
        raise DataError(f"The folder {words!r} cannot be looked for: {problem}. Name another one.") from None


def recorded_name(source: str) -> str:
    """Returns a data set's name in the record: of ``folder:PATH`` the last part only, since a record may be shared.

    Raises:
        DataError: see :func:`user_folder`.
    """
    kind, _, path = source.partition(":")
    return f"{kind}:{user_folder(path).name}" if path else kind


def sequence_of(words: str) -> list[str]:
    """Returns what has been asked after each request of a sequence: of ``1>3``, first ``1`` and then ``1>3``."""
    requests = words.split(THEN)
    return [THEN.join(requests[: count + 1]) for count in range(len(requests))]


def canonical_forget(
    words: str, setting: str, classes: Sequence[str], fine_classes: Sequence[str], dataset: str
) -> str:
    """Returns the one spelling of a forget set in the record, as its setting gives it; of others' settings, the words.

    Raises:
        DataError: a class that does not exist.
    """
    if THEN in words:
        requests = (canonical_forget(each, setting, classes, fine_classes, dataset) for each in words.split(THEN))
        return THEN.join(requests)
    if setting in ("class", "incremental", "backdoor"):
        return ",".join(str(label) for label in class_labels(words, classes, dataset))
    if setting == "subclass":
        return ",".join(fine_classes[label] for label in class_labels(words, fine_classes, dataset))
    return random_subset(words) if setting == "random" else words


def _class_label(word: str, classes: Sequence[str], dataset: str) -> int:
    found = {label for label, name in enumerate(classes) if name == word}
    number = int(word) if word.isdecimal() and len(word) < LONGEST_NUMBER else len(classes)
    found |= {number} if number < len(classes) else set()
    if len(found) == 1:
        return found.pop()
    if found:
        by_name = list(classes).index(word)
        raise DataError(
            f"'{word}' is the name of class {by_name} of {dataset}, and the number of class '{classes[int(word)]}'. "
            "Rename the classes so that a number means one of them."
        )
    near = "" if word.isdecimal() else did_you_mean(word, classes)
    raise DataError(
        f"Class '{word}' is not in {dataset}: expected 0 to {len(classes) - 1} or a name of "
        f"{', '.join(classes[:10])}{', …' if len(classes) > 10 else ''}.{near}"
    )


@dataclass(frozen=True)
class Experiment:
    """All that the runs of one table share and that benchmarks.yaml and the command line decide.

    Attributes:
        dataset: its name (``digits``, ``cifar10``, ``folder:NAME``).
        train_per_class, test_per_class: how many images of each class are used; None for all.
        augment: what training does to images (``none``, ``crop_flip``); for references, the recipe may say how.
        setting, setting_options: what a forget set is (``class``), and its options, every one stated.
        model: architecture and its parameters, every one stated.
        recipe: the options of ``original`` and ``retrained``, every one stated; those that came later only where they
            differ from their defaults, so that old keys stay.
        precision: ``float32`` or ``bfloat16`` (autocast; metrics are float32 always).
        threads: CPU threads of one run; part of the identity, since it changes the order of floating-point sums.
        held_out: the share of D_f and of D'_r that methods are not given and metrics read in place of everything else:
            of tuning trials, which see neither test images nor the rest of D_r. 0 for what tables show.
        trace_every: at every how many steps methods are measured while they run, for figures of curves. 0 for never.
        pinned: digest of the set of pinned references that runs start from, see :mod:`unlearn_bench.pinned`; empty
            where references are trained here.
        disturbance: which small disturbance the weights that runs start from get: each weight is multiplied by
            1 + 1e-6 · N(0, 1). It imitates the rounding of another processor; ``check`` measures what rounding does
            with it. 0 for none, as in every table.
    """

    dataset: str
    train_per_class: int | None
    test_per_class: int | None
    augment: str
    setting: str
    setting_options: dict[str, Any]
    model: dict[str, Any]
    recipe: dict[str, Any]
    precision: str
    threads: int
    held_out: float = 0.0
    trace_every: int = 0
    pinned: str = ""
    disturbance: int = 0

    @property
    def canonical(self) -> dict[str, Any]:
        """The fields that make the identity; those that came later only where they are set, so that old keys stay."""
        fields = asdict(self)
        return {name: value for name, value in fields.items() if value or name not in ("pinned", "disturbance")}

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON: equal for runs that belong in one table."""
        return digest_of(self.canonical)


@dataclass(frozen=True)
class RunSpec:
    """One run: a method with all its options on one configuration.

    Attributes:
        experiment: see there.
        forget: the forget set as the setting spells it (``"1"``).
        method, version, options: the method, the version of its recipe, and **all** its hyper-parameters, defaults
            included but for those of options that came later.
        seed: the configuration's seed; the generators' seeds are derived from it.
        dataset_digest: content hash of the images and labels used.
        forget_digest: hash of the forget set's sorted indices.
    """

    experiment: Experiment
    forget: str
    method: str
    version: str
    options: dict[str, Any]
    seed: int
    dataset_digest: str
    forget_digest: str

    @property
    def canonical(self) -> dict[str, Any]:
        """The fields that make the identity, as plain data."""
        return {**asdict(self), "experiment": self.experiment.canonical}

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON: the identity of the run."""
        return digest_of(self.canonical)

    def model_key(self, *, uses_forget_set: bool, from_scratch: bool) -> str:
        """Returns the identity of the weights.

        The original model is trained before anyone asks to forget: its weights do not depend on the forget set (but of
        a backdoor, whose forget set is in the images), and one training serves every configuration and every setting.
        The retrained model's depend on which images are forgotten, whatever they are called and in whatever order
        they went. Nor does a reference depend on what is held out or traced, or on which other models are pinned. For
        all other methods this is the run's own key.
        """
        if not from_scratch:
            return self.key
        whole = replace(self, experiment=replace(self.experiment, held_out=0.0, trace_every=0, pinned="")).canonical
        dropped = {"forget"} if uses_forget_set else {"forget", "forget_digest"}
        shared = {name: value for name, value in whole.items() if name not in dropped}
        shared["experiment"] = {name: v for name, v in whole["experiment"].items() if not name.startswith("setting")}
        return digest_of(shared)

    def derive_seed(self, purpose: str, *, uses_forget_set: bool = True, uses_method: bool = True) -> int:
        """Returns a 63-bit seed hashed from what the random numbers of ``purpose`` depend on.

        Options are left out, so that two settings of one hyper-parameter see the same order of images.
        """
        parts: dict[str, Any] = {
            "purpose": purpose,
            "seed": self.seed,
            "dataset": self.dataset_digest,
            "model": self.experiment.model,
        }
        if uses_forget_set:
            parts["forget"] = self.forget_digest
        if uses_method:
            parts["method"] = self.method
        return int(digest_of(parts)[:16], 16) >> 1
