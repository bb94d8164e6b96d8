/* SPDX-License-Identifier: Apache-2.0 */
/* eff_chain.h: a network that learns one block of layers after another, each of which is written to flash once when it is finished.
 *
 * Each block has a place in flash, of whole erase blocks, where its state is written as eff_state.h says. A block is finished if its
 * place holds a good state, and the first one that is not finished is the one that learns: nothing else is kept, so that whatever operation
 * on the flash a loss of power ends, the block in training begins again and those before it are as they were. A program reads the weights of
 * finished blocks where they lie in flash; the processor must be able to read it as memory, at addresses that are multiples of 4.
 */
#ifndef EFF_CHAIN_H
#define EFF_CHAIN_H

#include "eff_slots.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The functions of one block's program, and its state. */
typedef struct {
    void (*init)(void);
    int (*learn)(int32_t label);
    int32_t (*predict)(void);
    const eff_state *learned;
} eff_block;

/* The flash: its callbacks, where the processor sees what they call offset 0, where the first place begins and how long an erase
 * block is; `first` is a multiple of that. */
typedef struct {
    eff_read read;
    eff_write write;
    eff_erase erase;
    void *context;
    const uint8_t *memory;
    uint32_t first;
    size_t erase_bytes;
} eff_chain_flash;

/* The blocks in order; `payloads` is where each finished one's payload lies; `current` counts from 0 and is `count` when all are finished. */
typedef struct {
    const eff_block *blocks;
    const uint8_t **payloads;
    int32_t count;
    int32_t current;
    const eff_chain_flash *flash;
} eff_chain;

/* After every reset: finds the block that learns and sets it to its first weights, or if all are finished makes the chain ready to
 * predict. Returns EFF_STATE_OK, or why the last block, which was finished, cannot be loaded. */
int eff_chain_start(eff_chain *chain, const eff_chain_flash *flash);

/* Finishes the block that learns: erases its place, writes its state there, reads it again, and begins the next block. Returns EFF_STATE_OK,
 * or a code of eff_state.h: then the block goes on learning, and can be finished again. EFF_STATE_ABSENT when no block is left. */
int eff_chain_finish(eff_chain *chain);

/* Erases all places, the last first, so that a loss of power leaves finished blocks before unfinished ones; then begins the first block.
 * Returns EFF_STATE_OK or EFF_STATE_NO_WRITE. */
int eff_chain_forget(eff_chain *chain);

/* Bytes of flash that the places take in all. */
size_t eff_chain_bytes(const eff_chain *chain, size_t erase_bytes);

#ifdef __cplusplus
}
#endif

#endif
