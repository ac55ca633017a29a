"""The served model is swapped while drafts are made: the short form of `benchmarks/bench_swaps.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_swaps.py"


@pytest.fixture
def bench_swaps(monkeypatch):
    described = importlib.util.spec_from_file_location("bench_swaps", BENCHMARK)
    module = importlib.util.module_from_spec(described)
    monkeypatch.setitem(sys.modules, "bench_swaps", module)  # dataclasses look their module up
    described.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_no_request_fails_and_no_weights_are_mixed_while_models_are_swapped(bench_swaps, tmp_path):
    outcome = bench_swaps.swap_under_load(tmp_path / "home", swaps=50, workers=1, clients=2)

    assert outcome.failed == []
    assert (outcome.mixed, outcome.stale) == (0, 0)
    assert outcome.answers >= 50
    assert len(outcome.by_version) == bench_swaps.VERSIONS
