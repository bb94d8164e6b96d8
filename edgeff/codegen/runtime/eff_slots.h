/* SPDX-License-Identifier: Apache-2.0 */
/* eff_slots.h: two or more places in flash that take turns, so that the last state that was saved whole is there after any loss of power.
 * With n slots each is erased once in n saves. */
#ifndef EFF_SLOTS_H
#define EFF_SLOTS_H

#include "eff_state.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Erases `length` bytes at `offset`; returns how many it did. */
typedef size_t (*eff_erase)(void *context, uint32_t offset, size_t length);

/* The flash: its callbacks, where its `count` slots begin, two or more, and how long each is, in whole erase blocks. */
typedef struct {
    eff_read read;
    eff_write write;
    eff_erase erase;
    void *context;
    const uint32_t *first;
    uint32_t count;
    size_t bytes;
} eff_slots;

/* Erases the slot after the one that holds the newest good state, writes the state there under the next sequence number and reads it again;
 * where that fails the slots after it, but never the newest good one.
 * Returns EFF_STATE_OK, EFF_STATE_NO_WRITE, EFF_STATE_NOT_FINITE for weights that are no numbers, or why what was written cannot be
 * read; the newest good state is still there then. */
int eff_slots_save(const eff_state *state, const eff_slots *slots);

/* Restores the newest good state. Returns EFF_STATE_OK, EFF_STATE_ABSENT where nothing was ever saved, or why no slot can be restored. */
int eff_slots_restore(const eff_state *state, const eff_slots *slots);

#ifdef __cplusplus
}
#endif

#endif
