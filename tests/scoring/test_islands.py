from __future__ import annotations

import pytest
import torch

from carina.scoring.islands import METHOD


def test_the_score_is_the_share_of_all_that_is_drawn():
    """A large structure in one piece weighs more than a small one that is nothing but pieces."""
    assert METHOD.score([torch.tensor([[90.0, 0.0], [10.0, 5.0]])]) == pytest.approx(0.05)


def test_an_empty_drawing_has_no_islands():
    assert METHOD.score([torch.zeros(3, 2)]) == 0.0
