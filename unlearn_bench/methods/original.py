"""The original model θ_o: trained on all of D, before any request to forget."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.recipe import Recipe, with_recipe
from unlearn_bench.models import Classifier


@method(label="Original", source="Seo, Kim and Han, section 5.1", train_set="D")
@with_recipe
def original(problem: UnlearningProblem, recipe: Recipe) -> Classifier:
    """The model trained from scratch on all of D, by default with SGD without momentum and a decaying learning rate.

    The defaults are the paper's recipe. The data set determines whether images are cropped and mirrored.
    ``crop_padding``, ``crop_fill`` and ``flip`` determine how, but only for original and retrained models: methods that
    start from a trained model always use four pixels of zeros and random flips.
    """
    return problem.train(recipe)
