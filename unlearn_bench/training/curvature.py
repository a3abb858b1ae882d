"""Sums of squared per-sample gradients, exact, in batches.

Convolutions, linear layers and normalisations are processed layer by layer: a sample's gradient is a function of the
layer's input and of the gradient of its output, and one batch gives both for all samples. If an output has one pixel,
the gradient is an outer product, and its square is the outer product of squares. A network with any other layer is
processed one sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_bench.models import Classifier
from unlearn_bench.models.resnet import Conv3x3

Diagonal = dict[str, Tensor]
HELD_NUMBERS = 1 << 22  # in a convolution's per-sample gradients at once: 16 MiB in float32, within most caches

FORWARDS = {
    kind.forward
    for kind in (nn.Conv2d, Conv3x3, nn.Linear, nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
}

Norm = nn.GroupNorm | nn.LayerNorm | nn.modules.batchnorm._BatchNorm
Used = list[tuple[nn.Module, Tensor, Tensor]]  # layer, its input, its output


def squared_gradients(network: Classifier, x: Tensor, weigh: Callable[[Tensor], Tensor]) -> Diagonal:
    """Returns Σ_n Σ_y w_ny (∂ log p(y|x_n) / ∂θ)² by parameter name, a tensor of each parameter's shape.

    Args:
        network: in evaluation mode, so that samples do not affect each other; every parameter trainable; not changed.
        x: (N, C, H, W) float, inputs of the network.
        weigh: function from p(·|x), (N, K) float without gradient, to w, of the same shape and at least 0.
    """
    used, logits = _forward(network, x)
    weights = weigh(logits.detach().softmax(dim=1))
    total: Diagonal = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    if _is_layered(network) and len({layer for layer, _, _ in used}) == len(used):  # each layer runs once
        _add(total, _by_layer(network, used), logits, weights)
    else:
        for sample, weight in zip(x.split(1), weights.split(1), strict=True):
            _add(total, _of_one_sample(network), network(sample), weight)
    return total


def _add(total: Diagonal, squares: Callable[[Tensor], Diagonal], logits: Tensor, weights: Tensor) -> None:
    """Adds the contribution of each class, and skips classes of weight 0. A weight of NaN counts, so that it shows."""
    log_p = logits.log_softmax(dim=1)
    for y, is_needed in enumerate((weights != 0).any(dim=0).tolist()):
        if is_needed:
            for name, value in squares((weights[:, y].sqrt() * log_p[:, y]).sum()).items():
                total[name] += value.reshape(total[name].shape)


def _by_layer(network: Classifier, used: Used) -> Callable[[Tensor], Diagonal]:
    names = {layer: name for name, layer in network.named_modules()}
    outputs = [output for _, _, output in used]
    layers = [(names[layer], _squares_of(layer, inputs.detach())) for layer, inputs, _ in used]

    def squares(loss: Tensor) -> Diagonal:  # a sum over independent samples
        gradients = torch.autograd.grad(loss, outputs, retain_graph=True)
        return {
            f"{name}.{part}": value
            for (name, square), gradient in zip(layers, gradients, strict=True)
            for part, value in square(gradient).items()
        }

    return squares


def _of_one_sample(network: Classifier) -> Callable[[Tensor], Diagonal]:
    parameters = dict(network.named_parameters())

    def squares(loss: Tensor) -> Diagonal:
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        named = zip(parameters, gradients, strict=True)
        return {name: gradient.square() for name, gradient in named if gradient is not None}

    return squares


def _is_layered(network: nn.Module) -> bool:
    """Returns whether every parameter belongs to a layer that this module supports."""
    return all(_is_supported(layer) for layer in _with_parameters(network))


def _with_parameters(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if next(layer.parameters(recurse=False), None) is not None]


def _is_supported(layer: nn.Module) -> bool:
    if type(layer).forward not in FORWARDS:  # a subclass may compute something else
        return False
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return not layer.training and layer.running_mean is not None
    return isinstance(layer, nn.Linear | nn.GroupNorm | nn.LayerNorm)


def _forward(network: Classifier, x: Tensor) -> tuple[Used, Tensor]:
    used: Used = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        used.append((layer, inputs[0], output))
        return output.clone()  # the next layer may change its input in place

    handles = [layer.register_forward_hook(keep) for layer in _with_parameters(network)]
    try:
        logits = network(x)
    finally:
        for handle in handles:
            handle.remove()
    return used, logits


def _squares_of(layer: nn.Module, x: Tensor) -> Callable[[Tensor], Diagonal]:
    """Returns the function from the gradient of a layer's output to the sums of its parameters' squared gradients.

    Args:
        layer: the layer.
        x: its input.
    """
    if isinstance(layer, nn.Conv2d):
        return _conv_squares(layer, x)
    if isinstance(layer, nn.Linear):
        inputs = x.flatten(1, -2) if x.dim() > 2 else x[:, None]  # (N, L, i)
        return lambda gradient: _linear_squares(layer, inputs, gradient.reshape(len(inputs), -1, layer.out_features))
    assert isinstance(layer, Norm)
    return _norm_squares(layer, x)


def _conv_squares(layer: nn.Conv2d, x: Tensor) -> Callable[[Tensor], Diagonal]:
    n, groups = len(x), layer.groups
    patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
    patches = patches.view(n, groups, -1, patches.shape[-1])  # (N, g, p, L)

    def squares(gradient: Tensor) -> Diagonal:
        delta = gradient.view(n, groups, layer.out_channels // groups, -1)  # (N, g, o, L)
        if delta.shape[-1] == 1:
            squared = torch.einsum("ngo,ngp->gop", delta[..., 0].square(), patches[..., 0].square())
        else:
            size = max(1, HELD_NUMBERS // (delta.shape[2] * patches.shape[2] * groups))
            parts = zip(delta.split(size), patches.split(size), strict=True)
            squared = torch.stack([(d @ p.mT).square_().sum(dim=0) for d, p in parts]).sum(dim=0)
        diagonal = {"weight": squared.reshape(layer.weight.shape)}
        if layer.bias is not None:
            diagonal["bias"] = delta.sum(dim=-1).square().sum(dim=0).flatten()
        return diagonal

    return squares


def _linear_squares(layer: nn.Linear, inputs: Tensor, delta: Tensor) -> Diagonal:
    if delta.shape[1] == 1:
        squared = delta[:, 0].square().mT @ inputs[:, 0].square()  # (o, i)
    else:
        squared = (delta.mT @ inputs).square().sum(dim=0)
    return {"weight": squared, **({"bias": delta.sum(dim=1).square().sum(dim=0)} if layer.bias is not None else {})}


def _norm_squares(layer: Norm, x: Tensor) -> Callable[[Tensor], Diagonal]:
    if isinstance(layer, nn.GroupNorm):
        plain = F.group_norm(x, layer.num_groups, eps=layer.eps)
    elif isinstance(layer, nn.LayerNorm):
        plain = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    else:
        plain = F.batch_norm(x, layer.running_mean, layer.running_var, eps=layer.eps)

    def squares(gradient: Tensor) -> Diagonal:
        if isinstance(layer, nn.LayerNorm):  # its weight has the shape of the last dimensions
            shared = list(range(1, gradient.dim() - layer.weight.dim()))
        else:
            shared = list(range(2, gradient.dim()))
        scale, shift = gradient * plain, gradient
        if shared:
            scale, shift = scale.sum(dim=shared), shift.sum(dim=shared)
        diagonal = {"weight": scale.square().sum(dim=0)}
        if layer.bias is not None:
            diagonal["bias"] = shift.square().sum(dim=0)
        return diagonal

    return squares
