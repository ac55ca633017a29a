"""From scores on the working grid to labels on the image's grid, one slab at a time.

Scores of all classes exist only for the slab that windows still write into. Once they have passed, its voxels are
interpolated to the image's resolution, only the voxel values they decide for are kept, and the slab is released.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..geometry import AnyArray
from ..preprocessing import AxisMap
from .scores import Decision, winning_class

_NATIVE_VOXELS_AT_ONCE = 2**22
_INTERPOLATED_AT_ONCE = 2**15


@dataclass(frozen=True)
class NodeMap:
    """For the source voxels that one working axis covers: which working voxels (nodes) surround them.

    Attributes:
        begin: First covered source index.
        nodes: `(n, 2)` int64, the nodes below and above each source voxel; the same one twice on a node.
        weights: `(n, 2)` float32, their shares in a linear interpolation.
    """

    begin: int
    nodes: Tensor
    weights: Tensor

    @classmethod
    def of(cls, axis: AxisMap, *, device: torch.device) -> NodeMap:
        """The map of one axis, beyond the outermost nodes constant."""
        begin, end = axis.covered()
        lower, upper, share = axis.surrounding(begin, end)
        nodes = torch.from_numpy(np.stack([lower, upper], axis=1))
        weights = torch.from_numpy(np.stack([1 - share, share], axis=1))
        return cls(begin, nodes.to(device), weights.to(device))

    def part(self, start: int, stop: int, *, minus: int = 0) -> NodeMap:
        """Source voxels `start` to `stop` (counted from `begin`), nodes counted from `minus`."""
        return NodeMap(self.begin + start, self.nodes[start:stop] - minus, self.weights[start:stop])

    def __len__(self) -> int:
        return len(self.nodes)


class SlabStitcher:
    """Adds up windows and writes finished source voxels.

    All arrays have the slab axis first. Windows must arrive layer by layer; `finish_below` closes what no later
    window reaches.

    Args:
        axes: Working axes, slab axis first.
        target: `(A, B, C)` label array of the source, slab axis first; a writable view will do.
        classes: Scores per voxel.
        depth: Voxels of a window along the slab axis.
        device: Where the scores are added up.
        dtype: Of the scores.
        decide: What value scores give; as in `label_map`.
    """

    def __init__(
        self,
        axes: tuple[AxisMap, AxisMap, AxisMap],
        target: AnyArray,
        *,
        classes: int,
        depth: int,
        device: torch.device,
        dtype: torch.dtype,
        decide: Decision = winning_class,
    ) -> None:
        # One row more than a window: the last finished one is still a neighbour of the first unfinished.
        rows = min(depth + 1, axes[0].size)
        self._scores = torch.zeros((rows, axes[1].size, axes[2].size, classes), device=device, dtype=dtype)
        self._maps = [NodeMap.of(axis, device=device) for axis in axes]
        self._target = target
        self._decide = decide
        self._first_node = 0
        self._written = 0

    def add(self, scores: Tensor, weights: Tensor, starts: tuple[int, int, int]) -> None:
        """Add one window.

        Args:
            scores: `(classes, a, b, c)`.
            weights: `(a, b, c)`, of the stitching device.
            starts: Its first working voxel.
        """
        at = (starts[0] - self._first_node, starts[1], starts[2])
        where = tuple(slice(start, start + size) for start, size in zip(at, weights.shape, strict=True))
        moved = scores.permute(1, 2, 3, 0).to(weights)
        self._scores[where].addcmul_(moved, weights[..., None])

    def finish_below(self, node: int) -> None:
        """Write every source voxel whose neighbours all lie below working row `node`, and release those rows."""
        along = self._maps[0]
        end = int(torch.searchsorted(along.nodes[:, 1].contiguous(), node))
        if end > self._written:
            part = along.part(self._written, end, minus=self._first_node)
            label_map(self._scores, (part, self._maps[1], self._maps[2]), out=self._target, decide=self._decide)
            self._written = end
        keep_from = max(0, node - 1 - self._first_node)
        kept = self._scores[keep_from:].clone()
        self._scores[: len(kept)] = kept
        self._scores[len(kept) :] = 0
        self._first_node += keep_from


def label_map(
    scores: Tensor, maps: tuple[NodeMap, NodeMap, NodeMap], *, out: AnyArray, decide: Decision = winning_class
) -> None:
    """Interpolate scores linearly to source voxels and write the value they decide for.

    Exact, yet cheap: where all eight nodes around a voxel agree on the value it holds there too (each of a winner's
    scores is the highest, each score of a present label is positive, so every weighted mean is), and only voxels at a
    boundary between values are interpolated.

    Args:
        scores: `(A, B, C, classes)`, contiguous.
        maps: Per axis, source voxels and their nodes.
        out: `(A*, B*, C*)` source labels; the covered region is written.
        decide: `(…, classes)` scores → `(…)` values.
    """
    node = int(maps[0].nodes[0, 0])
    winners = decide(scores[node : int(maps[0].nodes[-1, 1]) + 1])
    boundary = _boundary_cells(winners)
    rows_at_once = max(1, _NATIVE_VOXELS_AT_ONCE // max(1, len(maps[1]) * len(maps[2])))
    region = tuple(slice(axis.begin, axis.begin + len(axis)) for axis in maps)
    for start in range(0, len(maps[0]), rows_at_once):
        part = (maps[0].part(start, start + rows_at_once), maps[1], maps[2])
        below = tuple(axis.nodes[:, 0] for axis in part)
        labels = _take(winners, (below[0] - node, below[1], below[2]))
        between = _take(boundary, (below[0] - node, below[1], below[2])) & _off_nodes(part)
        labels[between] = _interpolated_winners(scores, part, between.nonzero(), decide)
        rows = slice(region[0].start + start, region[0].start + start + len(part[0]))
        out[rows, region[1], region[2]] = labels.cpu().numpy()


def _boundary_cells(winners: Tensor) -> Tensor:
    """Per node, whether the cell from it to its next neighbours along every axis has more than one value."""
    lowest = highest = winners
    for axis in range(3):
        size = winners.shape[axis]
        following = torch.arange(1, size + 1, device=winners.device).clamp_(max=size - 1)
        lowest = torch.minimum(lowest, lowest.index_select(axis, following))
        highest = torch.maximum(highest, highest.index_select(axis, following))
    return lowest != highest


def _off_nodes(maps: tuple[NodeMap, NodeMap, NodeMap]) -> Tensor:
    a, b, c = (axis.weights[:, 1] > 0 for axis in maps)
    return a[:, None, None] | b[None, :, None] | c[None, None, :]


def _take(array: Tensor, index: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """`array[i, j, k]` for every combination of the indices."""
    for axis in range(3):
        array = array.index_select(axis, index[axis])
    return array


def _interpolated_winners(
    scores: Tensor, maps: tuple[NodeMap, NodeMap, NodeMap], voxels: Tensor, decide: Decision
) -> Tensor:
    """`(n,)` values at `(n, 3)` source voxels, indices into `maps`."""
    table = scores.flatten(0, 2)
    nodes_a = maps[0].nodes * (scores.shape[1] * scores.shape[2])
    nodes_b = maps[1].nodes * scores.shape[2]
    winners = torch.empty(len(voxels), dtype=torch.int64, device=scores.device)
    for start in range(0, len(voxels), _INTERPOLATED_AT_ONCE):
        a, b, c = voxels[start : start + _INTERPOLATED_AT_ONCE].unbind(1)
        corners = (
            nodes_a[a][:, :, None, None] + nodes_b[b][:, None, :, None] + maps[2].nodes[c][:, None, None, :]
        ).flatten(1)
        shares = (
            maps[0].weights[a][:, :, None, None]
            * maps[1].weights[b][:, None, :, None]
            * maps[2].weights[c][:, None, None, :]
        ).flatten(1)
        mixed = functional.embedding_bag(corners, table, mode="sum", per_sample_weights=shares.to(table.dtype))
        winners[start : start + _INTERPOLATED_AT_ONCE] = decide(mixed)
    return winners
