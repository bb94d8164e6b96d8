/* SPDX-License-Identifier: Apache-2.0 */
/* eff_slots.c: the newest slot is the one with the largest sequence number, which may wrap around. */
#include "eff_slots.h"

typedef struct {
    const eff_slots *slots;
    uint32_t first;
} eff_slot;

static EFF_SMALL size_t eff_write_slot(void *context, uint32_t offset, const void *bytes, size_t length)
{
    const eff_slot *slot = (const eff_slot *)context;
    return slot->slots->write(slot->slots->context, slot->first + offset, bytes, length);
}

static EFF_SMALL size_t eff_read_slot(void *context, uint32_t offset, void *bytes, size_t length)
{
    const eff_slot *slot = (const eff_slot *)context;
    return slot->slots->read(slot->slots->context, slot->first + offset, bytes, length);
}

/* The number of the slot with the newest good state, or `count`; `sequence` is its number. `code` is what the check of the first slot that
 * something was saved in gave, if no slot is good. */
static EFF_SMALL uint32_t eff_newest(const eff_state *state, const eff_slots *slots, uint32_t *sequence, int *code)
{
    uint32_t newest = slots->count;
    *sequence = 0;
    *code = EFF_STATE_ABSENT;
    for (uint32_t i = 0; i < slots->count; ++i) {
        eff_slot slot = {slots, slots->first[i]};
        uint32_t number = 0;
        const int found = eff_state_check(state, eff_read_slot, &slot, &number);
        if (found == EFF_STATE_OK && (newest == slots->count || number - *sequence - 1u < UINT32_C(0x7FFFFFFF))) {
            newest = i;
            *sequence = number;
        } else if (*code == EFF_STATE_ABSENT) {
            *code = found == EFF_STATE_OK ? EFF_STATE_ABSENT : found;
        }
    }
    return newest;
}

EFF_SMALL int eff_slots_save(const eff_state *state, const eff_slots *slots)
{
    if (slots->count < 2u || slots->bytes < EFF_STATE_OVERHEAD || slots->bytes - EFF_STATE_OVERHEAD < state->bytes) {
        return EFF_STATE_NO_WRITE;
    }
    if (eff_state_finite(state) != EFF_STATE_OK) {
        return EFF_STATE_NOT_FINITE;
    }
    int code;
    uint32_t sequence;
    const uint32_t newest = eff_newest(state, slots, &sequence, &code);
    uint32_t target = newest;
    for (uint32_t tries = newest == slots->count ? slots->count : slots->count - 1u; tries != 0u; --tries) {
        target = target + 1u < slots->count ? target + 1u : 0u;
        eff_slot slot = {slots, slots->first[target]};
        code = EFF_STATE_NO_WRITE;
        if (slots->erase(slots->context, slot.first, slots->bytes) == slots->bytes) {
            uint32_t written;
            code = eff_state_save(state, sequence + 1u, eff_write_slot, &slot);
            code = code != EFF_STATE_OK ? code : eff_state_check(state, eff_read_slot, &slot, &written);
        }
        if (code == EFF_STATE_OK) {
            break;
        }
    }
    return code;
}

EFF_SMALL int eff_slots_restore(const eff_state *state, const eff_slots *slots)
{
    int code;
    uint32_t sequence;
    const uint32_t newest = eff_newest(state, slots, &sequence, &code);
    if (newest == slots->count) {
        return code;
    }
    eff_slot slot = {slots, slots->first[newest]};
    return eff_state_restore(state, eff_read_slot, &slot);
}
