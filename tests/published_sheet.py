"""The published analytic sheet of Pau & Aymone (2023), as integers and as printed, and the networks it is of."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.networks import initialised, structure
from edgeff.studies.analytic.deviations import BENCHMARKS

# The published sheet: training MACs, inference MACs, activation bytes in training, parameters (https://doi.org/10.1109/COINS57856.2023.10189239).
SHEET = {
    ("KWS", "bp"): (7_666_544, 2_664_996, 72_602, 22_604),
    ("KWS", "ff"): (10_931_120, 33_705_504, 20_586, 22_604),
    ("KWS", "pepita"): (7_992_652, 2_664_996, 72_602, 22_604),
    ("KWS", "mempepita"): (10_657_648, 2_664_996, 28_096, 22_604),
    ("VWW", "bp"): (22_356_136, 7_618_726, 259_467, 210_850),
    ("VWW", "ff"): (31_454_720, 16_221_952, 82_945, 210_850),
    ("VWW", "pepita"): (22_909_134, 7_618_726, 259_467, 210_850),
    ("VWW", "mempepita"): (30_527_860, 7_618_726, 92_160, 210_850),
    ("IC", "bp"): (37_099_592, 12_534_590, 113_779, 77_706),
    ("IC", "ff"): (50_416_168, 127_064_520, 52_225, 77_706),
    ("IC", "pepita"): (37_601_542, 12_534_590, 113_779, 77_706),
    ("IC", "mempepita"): (50_136_132, 12_534_590, 81_920, 77_706),
    ("AD", "bp"): (711_296, 264_192, 2_312, 265_864),
    ("AD", "ff"): (1_063_456, 267_536, 1_408, 265_864),
    ("AD", "pepita"): (1_202_816, 264_192, 2_312, 265_864),
    ("AD", "mempepita"): (1_467_008, 264_192, 1_408, 265_864),
}
# forward, backward, update, goodness, normalisation, projection, error, and the part of forward that is the softmax and its converters
PARTS = {
    "KWS": (2_664_996, 2_344_768, 2_656_768, 72_012, 72_012, 5_880, 12, 228),
    "VWW": (7_618_726, 7_121_024, 7_616_384, 246_144, 246_144, 55_296, 2, 38),
    "IC": (12_534_590, 12_063_360, 12_501_632, 86_026, 86_026, 30_720, 10, 190),
    "AD": (264_192, 182_272, 264_192, 1_672, 1_672, 409_600, 640, 0),
}
# The table in print: kB (MMAC a step) for BP, FF, PEPITA and MEMPEPITA, then MMAC an inference of FF and of the others.
PRINTED = {
    "KWS": ("95.2 (7.7)", "43.2 (10.9)", "95.2 (8.0)", "50.7 (10.7)", "33.7 / 2.7"),
    "VWW": ("470.3 (22.4)", "293.8 (31.5)", "470.3 (22.9)", "303.0 (30.5)", "16.2 / 7.6"),
    "IC": ("191.5 (37.1)", "129.9 (50.4)", "191.5 (37.6)", "159.6 (50.1)", "127.1 / 12.5"),
    "AD": ("268.2 (0.7)", "267.3 (1.1)", "268.2 (1.2)", "267.3 (1.5)", "0.3 / 0.3"),
}
# What the departures of the sheet add.
EFFECTS: dict[str, dict[str, dict[str, int]]] = {
    "KWS": {"dense output": {"rules.bp.activation_bytes": -12, "rules.pepita.activation_bytes": -12}},
    "VWW": {
        "depthwise output": {
            "parts.forward": 126_720,
            "parts.backward": 126_720,
            "parts.update": 126_720,
            "parts.goodness": 14_080,
            "parts.normalisation": 14_080,
        },
        "input byte": {f"rules.{rule}.activation_bytes": 1 for rule in ("bp", "ff", "pepita")},
        "dense goodness": {"parts.goodness": 510, "parts.normalisation": 510},
    },
    "IC": {"input byte": {f"rules.{rule}.activation_bytes": 1 for rule in ("bp", "ff", "pepita")}},
    "AD": {},
}
NAMES = {benchmark: name for name, benchmark in BENCHMARKS.items()}


def network(benchmark: str) -> Network:
    """The network with fresh parameters."""
    return initialised(structure(NAMES[benchmark]), seed=0)
