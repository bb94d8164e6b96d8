/* A flash whose power fails in operation number `cut` (an erase, or a write of up to 32 bytes), which is done in part: see power_cuts.py. */
#include <string.h>

#include "model.h"

#define SLOT 4096u
#define MOST 8u

static uint8_t flash[MOST * SLOT];
static const uint32_t places[MOST] = {0, SLOT, 2 * SLOT, 3 * SLOT, 4 * SLOT, 5 * SLOT, 6 * SLOT, 7 * SLOT};
static int32_t operation, cut, how;
static uint32_t noise = 1;

/* How many bytes of an operation are done: all before the cut, none after it, and in it none, half or all but one, by `how`. */
static size_t done_of(size_t length)
{
    const int32_t number = operation++;
    if (cut < 0 || number < cut) {
        return length;
    }
    if (number > cut) {
        return 0;
    }
    return how == 0 ? 0 : how == 1 ? length / 2 : length - 1;
}

static size_t flash_write(void *context, uint32_t offset, const void *bytes, size_t length)
{
    (void)context;
    const size_t done = done_of(length);
    for (size_t i = 0; i < done; ++i) {
        flash[offset + i] &= ((const uint8_t *)bytes)[i];
    }
    return done;
}

static size_t flash_read(void *context, uint32_t offset, void *bytes, size_t length)
{
    (void)context;
    memcpy(bytes, flash + offset, length);
    return length;
}

/* An erase that is cut leaves noise in the bytes that it did not finish, if `how` is odd. */
static size_t flash_erase(void *context, uint32_t offset, size_t length)
{
    (void)context;
    const size_t done = done_of(length);
    memset(flash + offset, 0xFF, done);
    for (size_t i = done; i < length && how == 1 && done != 0; ++i) {
        noise = noise * 1664525u + 1013904223u;
        flash[offset + i] |= (uint8_t)(noise >> 24);
    }
    return done;
}

static uint8_t before[sizeof flash], old_state[1 << 16], new_state[1 << 16];

/* Saves `saves` times into `count` slots, a learning step before each; every save is first tried with the power cut in each of its
 * operations, in three ways. counts: cuts tried, states lost (neither the old nor the new one came back), new ones that came back, erases
 * of the slot that was erased most, operations of a save. Returns 0, or the number of the save that failed without a cut. */
int32_t power_run(uint32_t count, int32_t saves, const eff_input_t *x, int32_t samples, int64_t *counts)
{
    const eff_slots slots = {flash_read, flash_write, flash_erase, NULL, places, count, SLOT};
    int64_t erased[MOST] = {0};
    memset(flash, 0xFF, sizeof flash);
    cut = -1;
    eff_init();
    for (int32_t save = 1; save <= saves; ++save) {
        memcpy(old_state, eff_learned.payload, eff_learned.bytes);
        memcpy(eff_input(), x + (size_t)(save % samples) * EFF_INPUTS, EFF_INPUTS * sizeof *x);
        (void)eff_learn(save % EFF_CLASSES);
        memcpy(new_state, eff_learned.payload, eff_learned.bytes);
        memcpy(before, flash, sizeof flash);
        operation = 0;
        if (eff_slots_save(&eff_learned, &slots) != EFF_STATE_OK) {
            return save;
        }
        const int32_t operations = operation;
        counts[4] = operations;
        for (uint32_t i = 0; i < count; ++i) {
            erased[i] += memcmp(before + places[i], flash + places[i], SLOT) != 0;
            counts[3] = erased[i] > counts[3] ? erased[i] : counts[3];
        }
        static uint8_t after[sizeof flash];
        memcpy(after, flash, sizeof flash);
        for (int32_t at = 0; at < operations; ++at) {
            for (how = 0; how < 3; ++how) {
                memcpy(flash, before, sizeof flash);
                memcpy(eff_learned.payload, new_state, eff_learned.bytes);
                operation = 0;
                cut = at;
                (void)eff_slots_save(&eff_learned, &slots);
                cut = -1;
                eff_init(); /* the reset */
                const int code = eff_slots_restore(&eff_learned, &slots);
                const int is_old = code == EFF_STATE_OK && memcmp(old_state, eff_learned.payload, eff_learned.bytes) == 0;
                const int is_new = code == EFF_STATE_OK && memcmp(new_state, eff_learned.payload, eff_learned.bytes) == 0;
                counts[0] += 1;
                counts[1] += save > 1 ? !is_old && !is_new : code == EFF_STATE_OK && !is_new;
                counts[2] += is_new;
            }
        }
        memcpy(flash, after, sizeof flash);
        memcpy(eff_learned.payload, new_state, eff_learned.bytes);
    }
    return 0;
}
