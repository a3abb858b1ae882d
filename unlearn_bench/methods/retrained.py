"""The retrained model θ_r: the original's recipe on D_r only, the reference for every method."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.recipe import Recipe, with_recipe
from unlearn_bench.models import Classifier


@method(label="Retrained", source="Seo, Kim and Han, section 2.1", train_set="D_r")
@with_recipe
def retrained(problem: UnlearningProblem, recipe: Recipe) -> Classifier:
    """The model trained from scratch on D_r by the original's recipe, from new initial weights."""
    return problem.train(recipe)
