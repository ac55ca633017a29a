"""What every registered scoring method promises; a new file in lib/scoring arrives tested."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from carina.scoring import find_methods


@pytest.fixture(params=find_methods().names)
def method(request):
    return find_methods().get(request.param)


@pytest.fixture
def logits(method):
    """Makes what the method is given: one answer, or several of them, or how odd structures are."""

    def make(seed: int, *, sharpness: float = 1.0) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        if method.sampling == "drawing":
            return torch.rand((7, 1, 1), generator=random)
        if method.sampling == "pieces":
            volumes = torch.rand((7, 1, 2), generator=random)
            return torch.cat([volumes[..., :1], volumes.prod(dim=-1, keepdim=True)], dim=-1)
        shape = (4, 6, 5, 3) if method.sampling == "once" else (5, 4, 6, 5, 3)
        return torch.randn(shape, generator=random) * sharpness

    return make


def test_a_score_lies_between_zero_and_one(method, logits):
    for sharpness in (0.0, 0.1, 1.0, 100.0):
        assert 0.0 <= method.score(iter([logits(0, sharpness=sharpness)])) <= 1.0


def test_the_order_and_the_size_of_parts_do_not_matter(method, logits):
    whole = logits(1)
    parts = [whole[..., :2, :, :], whole[..., 2:5, :, :], whole[..., 5:, :, :]]
    expected = method.score(iter([whole]))
    assert method.score(iter(parts)) == pytest.approx(expected, abs=1e-6)
    assert method.score(reversed(parts)) == pytest.approx(expected, abs=1e-6)


def test_half_precision_is_taken_too(method, logits):
    assert method.score([logits(2).half()]) == pytest.approx(method.score([logits(2)]), abs=0.01)


def test_an_image_without_a_voxel_has_a_score(method):
    assert 0.0 <= method.score([]) <= 1.0


def test_each_says_what_it_is(method):
    assert method.name.isidentifier()
    assert len(method.description) > 10


def test_listing_methods_does_not_import_torch():
    program = "import sys; from carina.scoring import find_methods; find_methods(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
