from __future__ import annotations

import pytest

from edgeff.device.cores import CycleModel
from edgeff.device.isa.thumb import THUMB, decode
from edgeff.errors import BadInput, Unsupported
from edgeff.registry import cores

# One instruction a case: its encoding, what it is, and its cycles on the M4 when it falls through and when it branches.
M4 = [
    ("0844", "add r0, r1", 1, None),
    ("00fb01f0", "mul r0, r0, r1", 1, None),
    ("20fb0120", "smlad r0, r0, r1, r2", 1, None),
    ("c1fb0201", "smlal r0, r1, r1, r2", 1, None),
    ("91fbf2f0", "sdiv r0, r1, r2", 12, None),
    ("4868", "ldr r0, [r1, #4]", 2, None),
    ("8858", "ldr r0, [r1, r2]", 2, None),
    ("d1e90023", "ldrd r2, r3, [r1]", 3, None),
    ("4860", "str r0, [r1, #4]", 1, None),
    ("8850", "str r0, [r1, r2]", 2, None),
    ("0cc9", "ldm r1!, {r2, r3}", 3, None),
    ("0cc1", "stm r1!, {r2, r3}", 3, None),
    ("30b5", "push {r4, r5, lr}", 4, None),
    ("30bd", "pop {r4, r5, pc}", 4, 6),
    ("fed1", "bne", 1, 3),
    ("fee7", "b", 1, 3),
    ("08b1", "cbz r0", 1, 3),
    ("fff7feff", "bl", 1, 3),
    ("7047", "bx lr", 1, 3),
    ("30ee200a", "vadd.f32 s0, s0, s1", 1, None),
    ("20ee200a", "vmul.f32 s0, s0, s1", 1, None),
    ("00ee200a", "vmla.f32 s0, s0, s1", 3, None),
    ("a0ee200a", "vfma.f32 s0, s0, s1", 3, None),
    ("80ee200a", "vdiv.f32 s0, s0, s1", 14, None),
    ("b1eec00a", "vsqrt.f32 s0, s0", 14, None),
    ("91ed010a", "vldr s0, [r1, #4]", 2, None),
    ("81ed010a", "vstr s0, [r1, #4]", 2, None),
    ("91ed000b", "vldr d0, [r1]", 3, None),
    ("b1ec040a", "vldmia r1!, {s0-s3}", 5, None),
    ("2ded048b", "vpush {d8, d9}", 5, None),
    ("00ee100a", "vmov s0, r0", 1, None),
    ("51ec100b", "vmov r0, r1, d0", 2, None),
    ("f1ee10fa", "vmrs apsr_nzcv, fpscr", 1, None),
    ("00bf", "nop", 1, None),
]
M0PLUS = [
    ("4818", "adds r0, r1, r1", 1, None),
    ("4843", "muls r0, r1", 1, None),
    ("4868", "ldr r0, [r1, #4]", 2, None),
    ("8850", "str r0, [r1, r2]", 2, None),
    ("0cc9", "ldm r1!, {r2, r3}", 3, None),
    ("0cc1", "stm r1!, {r2, r3}", 3, None),
    ("30b5", "push {r4, r5, lr}", 4, None),
    ("30bc", "pop {r4, r5}", 3, None),
    ("30bd", "pop {r4, r5, pc}", 6, 6),
    ("fed1", "bne", 1, 2),
    ("fee7", "b", 1, 2),
    ("fff7feff", "bl", 3, 3),
    ("7047", "bx lr", 2, 2),
    ("8847", "blx r1", 2, 2),
    ("0f46", "mov r7, r1", 1, None),
    ("8f46", "mov pc, r1", 2, 2),
]
CASES = [("cortex-m4", *case) for case in M4] + [("cortex-m0plus", *case) for case in M0PLUS]


def model_for(core: str) -> CycleModel:
    model: CycleModel | None = cores[core].cycles
    assert model is not None
    return model


@pytest.mark.parametrize(("core", "code", "text", "through", "branching"), CASES, ids=[f"{case[0]} {case[2]}" for case in CASES])
def test_an_instruction_takes_what_the_manual_says(core: str, code: str, text: str, through: int, branching: int | None) -> None:
    block = decode(bytes.fromhex(code), 0x1000)
    assert [instruction.name for instruction in block] == [{"vmrs": "fmstat", "nop": "hint"}.get(text.split(maxsplit=1)[0], _base(text))]
    assert block[-1].branch == (branching is not None)
    assert model_for(core).cycles(block, taken=False) == through
    if branching is not None:
        assert model_for(core).cycles(block, taken=True) == branching


def _base(text: str) -> str:
    name = text.split(maxsplit=1)[0].partition(".")[0]
    return {"adds": "add", "muls": "mul", "bne": "b"}.get(name, name)


@pytest.mark.parametrize(
    ("code", "cycles"),
    [
        ("48684a68", 3),  # ldr r0, [r1, #4]; ldr r2, [r1, #4]: the second follows a load it does not depend on
        ("48684268", 4),  # ldr r0, [r1, #4]; ldr r2, [r0, #4]: the second waits for the address
        ("486808444a68", 5),  # an addition stands between
        ("91ed010ad1ed020a", 3),  # vldr s0, [r1, #4]; vldr s1, [r1, #8]
    ],
)
def test_a_load_after_a_load_it_does_not_need_takes_one_cycle_on_the_m4(code: str, cycles: int) -> None:
    assert model_for("cortex-m4").cycles(decode(bytes.fromhex(code), 0), taken=False) == cycles


def test_a_branch_that_its_condition_skips_takes_one_cycle() -> None:
    block = decode(bytes.fromhex("18bf30bd"), 0)  # it ne; popne {r4, r5, pc}
    assert block[-1].conditional
    assert model_for("cortex-m4").cycles(block, taken=False) == 2
    assert model_for("cortex-m4").cycles(block, taken=True) == 7


def test_lengths_follow_the_first_halfword() -> None:
    for first in range(0, 0x10000, 0x100):
        code = first.to_bytes(2, "little") + b"\x00\xbf"
        assert len(THUMB.lengths(code)) == (1 if first >= 0xE800 else 2)


def test_figures_carry_their_evidence() -> None:
    assert model_for("cortex-m4").evidence == "modelled, unvalidated"
    assert model_for("cortex-m0plus").evidence == "modelled, unvalidated"
    assert all("zero wait states" in model_for(core).notes for core in ("cortex-m4", "cortex-m0plus"))


def test_an_unknown_core_and_an_unknown_instruction_are_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown core: got 'cortex-m99'; allowed: .*cortex-m0plus, .*cortex-m4"):
        model_for("cortex-m99")
    with pytest.raises(Unsupported, match="ffffffff at 0x00001002"):
        decode(bytes.fromhex("00bfffffffff"), 0x1000)
