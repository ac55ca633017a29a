"""Networks run in 16 bits where the machine is faster in them, and never where somebody forbids it."""

from __future__ import annotations

import pytest
import torch

from carina.errors import ConfigurationError
from carina.infers.sliding_window import predict
from carina.networks.devices import short_numbers, short_type
from carina.networks.factory import build_network
from carina.preprocessing import prepare
from tests.infers.builder import noise_volume, task

CPU = torch.device("cpu")


@pytest.fixture
def able(monkeypatch):
    """A processor that multiplies tiles of bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)


def test_a_processor_that_multiplies_tiles_uses_bfloat16(able):
    assert short_type(CPU) == torch.bfloat16
    with short_numbers(CPU):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.bfloat16


def test_a_processor_that_is_slower_in_16_bits_keeps_to_32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert short_type(CPU) is None


def test_another_processor_keeps_to_32_bits(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert short_type(CPU) is None
    with short_numbers(CPU):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32


def test_who_wants_32_bits_everywhere_gets_them(able, monkeypatch):
    monkeypatch.setenv("CARINA_PRECISION", "float32")
    assert short_type(CPU) is None


def test_a_word_it_does_not_know_is_refused(monkeypatch):
    monkeypatch.setenv("CARINA_PRECISION", "float8")
    with pytest.raises(ConfigurationError, match="auto or float32, got 'float8'"):
        short_type(CPU)


def test_a_draft_in_16_bits_is_nearly_that_in_32(able, monkeypatch):
    spec = task()
    torch.manual_seed(0)
    network = build_network(spec).eval()
    prepared = prepare(noise_volume((40, 32, 24)), spec)
    short = predict(network, prepared, spec=spec, device="cpu").array
    monkeypatch.setenv("CARINA_PRECISION", "float32")
    exact = predict(network, prepared, spec=spec, device="cpu").array
    assert 0.97 < (short == exact).mean() < 1.0
