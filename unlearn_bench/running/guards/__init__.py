"""Guards compare what a method does with what it declares, in every run and in ``check-method``.

They watch the images that pass through networks, the weights that changed, the files that are opened, access to other
objects through the interpreter (``gc``, frames), and data that stays in the method's module. Python does not isolate
code within a process: code that deceives on purpose can still reach other objects through modules, C extensions or
another process. The guards find the traces of the usual ways. They do not replace reading a plug-in before you trust
its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from unlearn_bench.core.errors import ViolationError
from unlearn_bench.data import passed_images as inputs
from unlearn_bench.data.passed_images import InputCheck
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import Classifier
from unlearn_bench.running.guards.events import Events, events_of, paused
from unlearn_bench.running.guards.leftovers import Leftovers
from unlearn_bench.running.guards.weights import kept_of_redrawn, moved_outside


class Guard:
    """Watches one run of a method.

    Attributes:
        problem: the problem to pass to the method instead of the original one.
        inputs: compares the rows that pass through networks with the images of the problem.
        events: the files opened and the accesses to other objects during :meth:`watching`.
        start: the weights that the run starts from.
    """

    def __init__(
        self, method: Method, problem: UnlearningProblem, forbidden: Sequence[Path] = (), *, every_row: bool = False
    ) -> None:
        """Records the state before the run.

        Args:
            method: the method.
            problem: the problem of the run.
            forbidden: files that the method must not open, and folders whose files it must not open.
            every_row: whether to compare rows even if the method declares that it makes its own inputs.
        """
        self.method = method
        self.inputs = InputCheck((problem.retain, problem.forget), problem.normalise)
        self.problem = replace(problem, inputs=self.inputs)
        self.events = Events()
        self._forbidden = forbidden
        self._compares_rows = every_row or not method.makes_inputs
        self.start = {name: value.clone() for name, value in problem.original.state_dict().items()}
        self._leftovers = Leftovers(method.function, self.inputs.shape)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the method inside the ``with`` block."""
        with ExitStack() as stack:
            stack.enter_context(events_of(self.method.function, self.events))
            if self._compares_rows:
                stack.enter_context(inputs.watch(self.inputs.add_rows))
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspends the watch inside the ``with`` block, for files that the method's training is saved in."""
        with paused(), inputs.unwatched():
            yield

    def state(self) -> dict[str, Any]:
        """Returns what was seen so far, to save it with an unfinished run."""
        return {"inputs": self.inputs.state(), "events": asdict(self.events)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets what was seen so far."""
        self.inputs.restore(state["inputs"])
        for name, texts in asdict(Events(**state["events"])).items():
            getattr(self.events, name)[:] = texts

    def violations(self, network: Classifier) -> list[str]:
        """Returns a sentence for each difference between what the method did and what it declares.

        Args:
            network: the network with the weights that the method returned.
        """
        return [*self.data_violations(), *self.weight_violations(network)]

    def check(self, network: Classifier) -> None:
        """Raises ViolationError with the first of :meth:`violations`, if there is one."""
        for sentence in self.violations(network):
            raise ViolationError(sentence)

    def weight_violations(self, network: Classifier) -> list[str]:
        """Returns a sentence if weights changed outside the declared parts, or were not drawn anew as declared."""
        after = network.state_dict()
        sentences = (
            moved_outside(self.method.trains, network, self.start, after),
            kept_of_redrawn(self.method.redraws, network, self.start, after),
        )
        return [sentence for sentence in sentences if sentence]

    def data_violations(self) -> list[str]:
        """Returns a sentence for each use of data that the method did not get, and for data that it keeps."""
        sentences = []
        unknown = 0 if self.method.makes_inputs else self.inputs.unknown_rows()
        if unknown:
            sentences.append(
                f"{unknown:,} of {self.inputs.rows:,} images that passed through a network are not images of the "
                "problem; take them from problem.retain_batches, forget_batches or predict, or declare "
                "@method(makes_inputs=True) if the method makes its own inputs"
            )
        reached = [*self.events.opened, *self.events.listed]
        opened = [name for name in dict.fromkeys(reached) if _is_within(name, self._forbidden)]
        if opened:
            sentences.append(f"it opened {opened[0]}; a method may use only the data of its problem")
        if self.events.looks:
            sentences.append(f"it {self.events.looks[0]}; a method may use only what its problem contains")
        kept = self._leftovers.new()
        if kept:
            sentences.append(f"it keeps data for later runs: {kept}; keep data in local variables of the function")
        return sentences


def _is_within(name: str, paths: Sequence[Path]) -> bool:
    path = Path(name).resolve()
    return any(path == other or other in path.parents for other in (other.resolve() for other in paths))
