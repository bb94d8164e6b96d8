/* SPDX-License-Identifier: Apache-2.0 */
/* eff_slots.c: the newer of two slots is the one with the larger sequence number, which may wrap around. */
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

/* The slot with the newest good state, or -1; `codes` says of each slot what its check gave, `sequence` is the newest's. */
static EFF_SMALL int32_t eff_newest(const eff_state *state, const eff_slots *slots, int *codes, uint32_t *sequence)
{
    uint32_t numbers[2] = {0, 0};
    for (int32_t i = 0; i < 2; ++i) {
        eff_slot slot = {slots, slots->first[i]};
        codes[i] = eff_state_check(state, eff_read_slot, &slot, &numbers[i]);
    }
    if (codes[0] != EFF_STATE_OK && codes[1] != EFF_STATE_OK) {
        *sequence = 0;
        return -1;
    }
    const int32_t second_is_newer = numbers[1] - numbers[0] - 1u < UINT32_C(0x7FFFFFFF);
    const int32_t newest = codes[0] != EFF_STATE_OK ? 1 : codes[1] != EFF_STATE_OK ? 0 : second_is_newer;
    *sequence = numbers[newest];
    return newest;
}

EFF_SMALL int eff_slots_save(const eff_state *state, const eff_slots *slots)
{
    if (slots->bytes < EFF_STATE_OVERHEAD || slots->bytes - EFF_STATE_OVERHEAD < state->bytes) {
        return EFF_STATE_NO_WRITE;
    }
    if (eff_state_finite(state) != EFF_STATE_OK) {
        return EFF_STATE_NOT_FINITE;
    }
    int codes[2];
    uint32_t sequence;
    const int32_t target = eff_newest(state, slots, codes, &sequence) == 0 ? 1 : 0;
    eff_slot slot = {slots, slots->first[target]};
    if (slots->erase(slots->context, slot.first, slots->bytes) != slots->bytes) {
        return EFF_STATE_NO_WRITE;
    }
    const int code = eff_state_save(state, sequence + 1u, eff_write_slot, &slot);
    return code != EFF_STATE_OK ? code : eff_state_check(state, eff_read_slot, &slot, &sequence);
}

EFF_SMALL int eff_slots_restore(const eff_state *state, const eff_slots *slots)
{
    int codes[2];
    uint32_t sequence;
    const int32_t newest = eff_newest(state, slots, codes, &sequence);
    if (newest < 0) {
        return codes[0] == EFF_STATE_ABSENT ? codes[1] : codes[0];
    }
    eff_slot slot = {slots, slots->first[newest]};
    return eff_state_restore(state, eff_read_slot, &slot);
}
