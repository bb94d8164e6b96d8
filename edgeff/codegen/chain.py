"""A chain of blocks -> a folder of C: one program for each block, in one arena, and the driver that goes from one to the next.

``chain.h`` is the interface; ``eff_chain.h`` says how finished blocks lie in flash. A program reads what blocks below it have learned where
that lies, so each weight is in the image once, as it was before learning, and once in flash where it was learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeff.codegen.folder import RUNTIME_FOLDER, Source, write_c
from edgeff.codegen.names import file_prefix
from edgeff.codegen.source import C_TYPES, LICENCE, Shared, written_by
from edgeff.ir import Program
from edgeff.program.chain import Chain
from edgeff.program.state import place_bytes

ARENA, PAYLOADS = "eff_chain_arena", "eff_chain_payloads"
RUNTIME = ("eff_chain.h", "eff_chain.c")


@dataclass(frozen=True)
class ChainSource:
    """The written export: the folder, what a build compiles, the bytes of the shared arena, and each block's own export."""

    folder: Path
    sources: tuple[Path, ...]
    arena_bytes: int
    blocks: tuple[Source, ...]

    def flash_bytes(self, erase_bytes: int) -> int:
        """What the places of finished blocks take in flash that is erased by so many bytes."""
        return sum(place_bytes(block.memory, erase_bytes) for block in self.blocks)


def write_chain(chain: Chain, folder: Path, *, features: frozenset[str] = frozenset(), command: str = "edgeff") -> ChainSource:
    """Writes the C of ``chain`` into ``folder``, a new or an empty one, or one that such C has written.

    Args: ``features``, what the core has, for the choice of kernels' variants; ``command``, what the files' heads say made them.
    Raises: BadInput as ``write_c`` does.
    """
    programs = [chain.deployment(number).program for number in range(1, chain.blocks + 1)]
    declared = f"\nextern const uint8_t *{PAYLOADS}[{len(programs)}];\n"
    blocks: list[Source] = []
    for number, program in enumerate(programs, 1):
        shared = Shared(ARENA, _stored(blocks, program), declared)
        blocks.append(write_c(program, folder, prefix=f"block{number}_", features=features, command=command, shared=shared))
    arena_bytes = max(block.memory.arena_bytes for block in blocks)
    for name in RUNTIME:
        (folder / name).write_bytes((RUNTIME_FOLDER / name).read_bytes())
    tensor = programs[-1].tensors[programs[-1].input]
    (folder / "chain.h").write_text(_header(C_TYPES[tensor.dtype], len(blocks), arena_bytes, command), encoding="utf-8")
    (folder / "chain.c").write_text(_source(C_TYPES[tensor.dtype], len(blocks), command), encoding="utf-8")
    sources = {path.name for block in blocks for path in block.sources} | {"chain.c", "eff_chain.c"}
    return ChainSource(folder, tuple(folder / name for name in sorted(sources)), arena_bytes, tuple(blocks))


def _stored(below: Sequence[Source], program: Program) -> dict[str, str]:
    """Where what blocks ``below`` it learn lies, its constants and what its variables begin with: in their payloads, in flash.

    Of two blocks that learn the same, as those of one layer's parts do, the later one's counts. The rate is a block's own.
    """
    places: dict[str, str] = {}
    for number, block in enumerate(below):
        for tensor in block.program.by_role("variable"):
            here = program.tensors.get(tensor.name)
            if tensor.layer and here is not None and here.role in ("constant", "variable"):
                address = f"{PAYLOADS}[{number}] + {block.memory.offsets[tensor.name]}"
                places[tensor.name] = f"((const {C_TYPES[tensor.dtype]} *)(const void *)({address}))"
    return places


def _header(ctype: str, count: int, arena_bytes: int, command: str) -> str:
    return f"""\
{LICENCE}
/* chain.h: {count} blocks of layers that learn one after the other.
{written_by(command)}
 *
 * Call chain_start after every reset. Fill what chain_input() returns before every chain_learn or chain_predict. When the block that
 * learns has had its samples, call chain_finish, which writes it to flash and begins the next one.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "eff_chain.h"

#ifdef __cplusplus
extern "C" {{
#endif

#define CHAIN_BLOCKS {count}
#define CHAIN_ARENA_BYTES {arena_bytes}u

int chain_start(const eff_chain_flash *flash); /* as eff_chain_start */
int32_t chain_block(void);                     /* the block that learns, from 1; CHAIN_BLOCKS + 1 when all are finished */
{ctype} *chain_input(void);
int chain_learn(int32_t label);                /* one step of that block; as its eff_learn; EFF_STATE_ABSENT when all are finished */
int32_t chain_predict(void);                   /* the class by that block's own head, by the network's when all are finished */
int chain_finish(void);                        /* as eff_chain_finish */
int chain_forget(void);                        /* as eff_chain_forget */
size_t chain_flash_bytes(size_t erase_bytes);  /* what the blocks take in flash */

#ifdef __cplusplus
}}
#endif

#endif
"""


def _source(ctype: str, count: int, command: str) -> str:
    numbers = range(1, count + 1)
    includes = "\n".join(f'#include "{file_prefix(f"block{number}_")}model.h"' for number in numbers)
    rows = "\n".join(f"    {{block{n}_init, block{n}_learn, block{n}_predict, &block{n}_learned}}," for n in numbers)
    inputs = ", ".join(f"block{number}_input" for number in numbers)
    return f"""\
{LICENCE}
/* chain.c: the programs of {count} blocks, of which one runs at a time.
{written_by(command)}
 */
#include "chain.h"
{includes}

#ifdef EFF_ARENA_SECTION
#define EFF_PLACE __attribute__((section(EFF_ARENA_SECTION)))
#else
#define EFF_PLACE
#endif

EFF_PLACE uint64_t {ARENA}[CHAIN_ARENA_BYTES / 8u];
const uint8_t *{PAYLOADS}[CHAIN_BLOCKS];

static const eff_block blocks[CHAIN_BLOCKS] = {{
{rows}
}};
static {ctype} *(*const inputs[CHAIN_BLOCKS])(void) = {{{inputs}}};
static eff_chain chain = {{blocks, {PAYLOADS}, CHAIN_BLOCKS, 0, NULL}};

static int32_t running(void) {{ return chain.current < CHAIN_BLOCKS ? chain.current : CHAIN_BLOCKS - 1; }}

int chain_start(const eff_chain_flash *flash) {{ return eff_chain_start(&chain, flash); }}

int32_t chain_block(void) {{ return chain.current + 1; }}

{ctype} *chain_input(void) {{ return inputs[running()](); }}

int chain_learn(int32_t label) {{ return chain.current < CHAIN_BLOCKS ? blocks[chain.current].learn(label) : EFF_STATE_ABSENT; }}

int32_t chain_predict(void) {{ return blocks[running()].predict(); }}

int chain_finish(void) {{ return eff_chain_finish(&chain); }}

int chain_forget(void) {{ return eff_chain_forget(&chain); }}

size_t chain_flash_bytes(size_t erase_bytes) {{ return eff_chain_bytes(&chain, erase_bytes); }}
"""
