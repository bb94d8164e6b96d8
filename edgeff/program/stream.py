"""A program over a second of audio -> one that takes the audio as it comes, hop by hop, and keeps of it what its features need.

In comes a program whose lines begin with coefficients of the input (``edgeff.ops.mfcc``). Each line then takes a hop and works on the
window that ends with it; ``listen`` takes a hop and does no more. What stays in RAM are the sums of each frame's bands, 160 bytes in place
of 640 of audio with the default recipe, and the largest sample of each hop, by which a window is scaled; so its scores are those of the
whole window, to the bit. Before the first hop there was silence. Refused: a program that reads anything else, a window that is no whole
number of hops.
"""

from __future__ import annotations

from dataclasses import replace

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Call, Line, Program, Tensor
from edgeff.ops.mfcc.kernel import Frames

LISTEN = "listen"
_WHOLE, _TABLES = "eff_mfcc_", ("window", "sine", "mel", "spans")


def streaming(program: Program) -> Program:
    """``program`` with a hop of int16 audio as its input, and the line ``listen``.

    Raises: Unsupported for a program whose lines do not begin with coefficients of the input; BadInput for a window of another length.
    """
    reading = [line for line in program.lines.values() if program.input in line.arguments]
    heads = [line.calls[0] for line in reading if line.calls]
    if len(heads) < len(reading) or not all(call.kernel.startswith(_WHOLE) and call.inputs[0] == program.input for call in heads):
        step = "export it behind its features: edgeff export --features"
        raise Unsupported(f"listening by {program.name!r}", got="a program that reads no audio", allowed="mfcc first", next_step=step)
    sizes = heads[0].attrs["sizes"]
    if not isinstance(sizes, Frames) or sizes.n % sizes.hop:
        raise BadInput("audio of a program that listens", got=f"{program.tensors[program.input].elements} samples", allowed="whole hops")
    hop, recent = sizes.hop, -(-sizes.frame // sizes.hop) * sizes.hop
    layer = heads[0].layer
    kept = {
        f"{layer}.mels": ((sizes.frames, sizes.bands), "float32"),
        f"{layer}.peaks": ((sizes.n // hop,), "int16"),
        f"{layer}.recent": ((recent,), "int16"),
        f"{layer}.at": ((2,), "int32"),
    }
    tensors = dict(program.tensors)
    tensors[program.input] = replace(tensors[program.input], shape=(hop,))
    tensors |= {name: Tensor(name, shape, dtype, "memory", layer=layer, saved=False) for name, (shape, dtype) in kept.items()}
    lines: dict[str, Line] = {}
    for name, line in program.lines.items():
        if line not in reading:
            lines[name] = line
            continue
        push, features = _halves(line.calls[0], name, sizes, tensors, tuple(kept))
        lines[name] = replace(line, calls=(push, features, *line.calls[1:]))
    push, _ = _halves(heads[0], LISTEN, sizes, tensors, tuple(kept))
    return replace(program, tensors=tensors, lines={**lines, LISTEN: Line(LISTEN, (push,), (program.input,))})


def _halves(call: Call, line: str, sizes: Frames, tensors: dict[str, Tensor], kept: tuple[str, ...]) -> tuple[Call, Call]:
    """What takes a hop, and what makes the features of the window, in the place of ``call``."""
    x, *names = call.inputs
    y, scratch = call.outputs
    of = dict(zip((*_TABLES, "dct"), names, strict=True))
    frame = f"{line}.{call.layer}.fft"
    tensors[frame] = Tensor(frame, (sizes.fft,), "float32", "activation", layer=call.layer)
    tensors[scratch] = replace(tensors[scratch], shape=(sizes.bands + sizes.coefficients,))
    push = Call("eff_mel_push", (*kept, frame), (x, *(of[name] for name in _TABLES)), {"sizes": sizes}, call.layer, call.stage)
    mels, peaks, _, at = kept
    kernel = call.kernel.replace(_WHOLE, "eff_mel_mfcc_")
    return push, replace(call, kernel=kernel, outputs=(y, scratch), inputs=(mels, peaks, at, of["dct"]))
