"""Names that plug-ins for older versions use, and the names that replace them."""

from __future__ import annotations

import re

MODULES = {
    "unlearn_bench.budget": "unlearn_bench.training.pass_counter",
    "unlearn_bench.checkpoints": "unlearn_bench.models.checkpoints",
    "unlearn_bench.config": "unlearn_bench.config.benchmarks",
    "unlearn_bench.curvature": "unlearn_bench.training.curvature",
    "unlearn_bench.data.settings": "unlearn_bench.data.scenarios",
    "unlearn_bench.errors": "unlearn_bench.core.errors",
    "unlearn_bench.inputs": "unlearn_bench.data.passed_images",
    "unlearn_bench.journal": "unlearn_bench.training.monitor",
    "unlearn_bench.kernels": "unlearn_bench.numerics.kernels",
    "unlearn_bench.kmeans": "unlearn_bench.numerics.kmeans",
    "unlearn_bench.logistic": "unlearn_bench.numerics.logistic",
    "unlearn_bench.options": "unlearn_bench.core.options",
    "unlearn_bench.outputs": "unlearn_bench.models.outputs",
    "unlearn_bench.recipe": "unlearn_bench.methods.recipe",
    "unlearn_bench.registry": "unlearn_bench.core.registry",
    "unlearn_bench.spec": "unlearn_bench.core.spec",
    "unlearn_bench.training.recipe": "unlearn_bench.methods.recipe",
}
ARGUMENTS = {"moves": "trains", "alone": "without_reference", "settings": "scenarios"}
ATTRIBUTES = {
    "journal": "monitor",
    "drew": "add_samples",
    "passed": "add_passes",
    "alone": "without_reference",
    "setting": "scenario",
}


def new_name(problem: BaseException) -> str:
    """Returns a sentence with the new name of a missing module, argument or attribute; empty if it was not renamed.

    >>> new_name(ModuleNotFoundError("No module named 'unlearn_bench.kernels'", name="unlearn_bench.kernels"))
    'unlearn_bench.kernels was renamed to unlearn_bench.numerics.kernels. Change the import.'
    """
    if isinstance(problem, ModuleNotFoundError) and problem.name in MODULES:
        return f"{problem.name} was renamed to {MODULES[problem.name]}. Change the import."
    argument = re.search(r"unexpected keyword argument '(\w+)'", str(problem))
    if isinstance(problem, TypeError) and argument and argument[1] in ARGUMENTS:
        return f"The argument {argument[1]} was renamed to {ARGUMENTS[argument[1]]}."
    attribute = re.search(r"object has no attribute '(\w+)'", str(problem))
    if isinstance(problem, AttributeError) and attribute and attribute[1] in ATTRIBUTES:
        return f"The attribute {attribute[1]} was renamed to {ATTRIBUTES[attribute[1]]}."
    return ""
