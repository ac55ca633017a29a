"""DenseNet201 for findings of whole images (Huang et al., arXiv:1608.06993), from MONAI."""

from __future__ import annotations

from .densenet import densenet

NETWORK = densenet("densenet201", init_features=64, growth_rate=32, block_config=(6, 12, 48, 32))
