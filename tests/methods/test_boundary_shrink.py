"""Boundary Shrink: its steps, and the adversarial images that it makes."""

from dataclasses import replace

import torch
from support import naive_methods as naive

from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.boundary_shrink import boundary_shrink, fgsm
from unlearn_bench.training.loop import cross_entropy


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(boundary_shrink, problem)


def test_adversarial_images_are_images_near_the_original_ones(problem: UnlearningProblem) -> None:
    problem, forget = naive.tiny(problem), problem.forget
    x, bound = problem.normalise(forget.pixels), 0.1
    adversarial = fgsm(problem.original, x, forget.labels, bound, problem.normalise)
    pixels = (adversarial * problem.normalise.std + problem.normalise.mean).double()
    levels = pixels * 255
    assert pixels.min() > -1e-6 and pixels.max() < 1 + 1e-6
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    moved = (pixels - forget.pixels.double() / 255).abs()
    assert moved.max() < bound + 0.5 / 255 + 1e-6
    inside = (forget.pixels > 26) & (forget.pixels < 229)
    assert bool((moved[inside] > bound - 0.5 / 255 - 1e-6).all()), "a step in pixels, not in deviations"
    assert not adversarial.requires_grad
    with torch.no_grad():
        before, after = (cross_entropy(problem.original, each, forget.labels) for each in (x, adversarial))
    assert after > before


def test_the_teacher_is_the_original_in_every_epoch(problem: UnlearningProblem) -> None:
    """Two epochs of whole batches train on the same labels, so that the loss of a small step falls."""
    problem = naive.tiny(problem)
    boundary_shrink(problem, epochs=6, batch_size=naive.WHOLE, lr=1e-3, momentum=0.0)
    losses = [value for _, name, value in problem.monitor.curves if name == "loss"]
    assert losses == sorted(losses, reverse=True)


def test_a_forget_set_of_no_class_works_and_every_pass_is_counted(problem: UnlearningProblem) -> None:
    problem = replace(problem, forget_classes=())
    methods.get("boundary_shrink").unlearn(problem, {"epochs": 2, "batch_size": 8})
    monitor = problem.monitor
    # x and x' pass the teacher, x the student; gradients reach x in the teacher and the weights in the student
    assert (monitor.samples_seen, monitor.forward_images, monitor.backward_images) == (96, 144, 96)
