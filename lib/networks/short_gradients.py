"""Training in bfloat16 on a CPU: for which networks its gradients are right, and which layers are faster in 32 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def normalise_in_full(network: nn.Module) -> None:
    """Let normalisation of groups and instances take 32 bits in training, as autocast does on GPUs.

    On a CPU its bfloat16 gradient takes several times as long as that in 32 bits; without gradients 16 bits are faster.

    Args:
        network: Gets hooks, which copies of it have too.
    """
    from torch.nn import GroupNorm
    from torch.nn.modules.instancenorm import _InstanceNorm

    for module in network.modules():
        if isinstance(module, GroupNorm | _InstanceNorm):
            module.register_forward_pre_hook(_in_full)


def _in_full(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(one.float() for one in given) if module.training else given


def right_in_bfloat16(network: nn.Module, image: Tensor) -> bool:
    """Whether a CPU's bfloat16 gradients of a network can be trusted.

    oneDNN's (of torch 2.15) are wrong where a convolution meets a map of a single place along an axis, or has groups:
    they hold what was in memory before, which may or may not be a number. Normalisation over a small batch makes much
    of what 16 bits lose: those of a DenseNet point 30 degrees away from those of 32 bits.

    Args:
        network: In any mode, on the CPU; nothing of it is changed.
        image: `(B, channels, …)` of the size that it will be trained on; the first of them is tried.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd

    right = not any(isinstance(module, _BatchNorm) for module in network.modules())

    def look(module: Any, given: tuple[Tensor, ...], scores: Tensor) -> None:
        nonlocal right
        right = right and module.groups == 1 and min(*given[0].shape[2:], *scores.shape[2:]) > 1

    convolutions = [module for module in network.modules() if isinstance(module, _ConvNd)]
    hooks = [module.register_forward_hook(look) for module in convolutions]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(image[:1])
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return right
