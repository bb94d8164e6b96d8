"""The networks that come with edgeff have the sizes that others published for them."""

from __future__ import annotations

import pytest

from edgeff.networks import initialised, structure
from edgeff.ops.canonical import canonical
from edgeff.program.cost import cost
from edgeff.program.lower import lower


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("ds_cnn", 22_604, 2_656_768),
        ("resnet8", 77_706, 12_501_632),
        ("mobilenet_v1_025", 210_850, 7_489_664),
        ("fc_ae", 265_864, 264_192),
    ],
)
def test_parameters_and_macs_are_those_of_mlperf_tiny(name: str, parameters: int, macs: int) -> None:
    """Banbury et al. 2021 and the reference models, batch normalisation folded."""
    network = canonical(initialised(structure(name), 0))
    assert sum(value.size for layer in network for value in layer.params.values()) == parameters
    assert cost(lower(network)).macs("infer") == macs
