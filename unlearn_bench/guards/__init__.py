"""What is watched while a method runs, in every real run and in ``check-method``: it is held to what it declares.

Looked at are the images that pass networks, the weights that moved, files, the interpreter's own view of other objects
(``gc``, frames), and data that stays in the method's module. One Python process has no walls: code that sets out to
deceive can still reach other objects through modules, C extensions or another process. The guards find what the usual
ways leave behind; they do not replace reading a plug-in before its numbers are trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from unlearn_bench import inputs
from unlearn_bench.errors import ViolationError
from unlearn_bench.guards.events import Events, events_of
from unlearn_bench.guards.kept import Kept
from unlearn_bench.guards.weights import kept_of_redrawn, moved_outside
from unlearn_bench.inputs import InputCheck
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import Classifier


class Guard:
    """Watches one run of a method.

    Attributes:
        problem: to give the method, in place of the one that the guard was made for.
        inputs: compares rows with the given images.
        events: files opened, and looks at other objects, while :meth:`watching`.
        start: the weights that the run starts from.
    """

    def __init__(
        self, method: Method, problem: UnlearningProblem, forbidden: Sequence[Path] = (), *, every_row: bool = False
    ) -> None:
        """Notes what the run starts from.

        Args:
            method: the method.
            problem: what it is given.
            forbidden: files, and folders with all in them, that it may not open.
            every_row: look at rows even of a method that declares to make inputs of its own.
        """
        self.method = method
        self.inputs = InputCheck((problem.retain, problem.forget), problem.normalise)
        self.problem = replace(problem, inputs=self.inputs)
        self.events = Events()
        self._forbidden = forbidden
        self._looks_at_rows = every_row or not method.makes_inputs
        self.start = {name: value.clone() for name, value in problem.original.state_dict().items()}
        self._kept = Kept(method.function, self.inputs.shape)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the method while it runs."""
        with ExitStack() as stack:
            stack.enter_context(events_of(self.method.function, self.events))
            if self._looks_at_rows:
                stack.enter_context(inputs.watch(self.inputs.passed))
            yield

    def violations(self, network: Classifier) -> list[str]:
        """Returns a sentence for each thing that the method did against what it declares.

        Args:
            network: with the weights that it returned.
        """
        return [*self.data_violations(), *self.weight_violations(network)]

    def check(self, network: Classifier) -> None:
        """Raises ViolationError with the first of :meth:`violations`, where there is one."""
        for sentence in self.violations(network):
            raise ViolationError(sentence)

    def weight_violations(self, network: Classifier) -> list[str]:
        """Returns a sentence where weights moved that were not to, or stayed that were to be drawn anew."""
        after = network.state_dict()
        sentences = (
            moved_outside(self.method.moves, network, self.start, after),
            kept_of_redrawn(self.method.redraws, network, self.start, after),
        )
        return [sentence for sentence in sentences if sentence]

    def data_violations(self) -> list[str]:
        """Returns a sentence for each way in which data came or stayed that the method was not given."""
        found = []
        strangers = 0 if self.method.makes_inputs else self.inputs.strangers()
        if strangers:
            found.append(
                f"{strangers:,} of {self.inputs.rows:,} images that passed a network are not images that it was given; "
                "take them from problem.retain_batches, forget_batches or predict, or declare "
                "@method(makes_inputs=True) where it makes inputs of its own"
            )
        reached = [*self.events.opened, *self.events.listed]
        opened = [name for name in dict.fromkeys(reached) if _is_within(name, self._forbidden)]
        if opened:
            found.append(f"it opened {opened[0]}: a method is given its data and reads no other")
        if self.events.looks:
            found.append(f"it {self.events.looks[0]}: a method uses what its problem holds and nothing else")
        kept = self._kept.since()
        if kept:
            found.append(f"it keeps data for later runs: {kept}; keep it inside the function")
        return found


def _is_within(name: str, places: Sequence[Path]) -> bool:
    path = Path(name).resolve()
    return any(path == place or place in path.parents for place in (place.resolve() for place in places))
