/* A flash of two slots whose power fails: after `budget` bytes that are written or erased, nothing happens any more. The byte at `stuck` takes no
 * write and nobody says so; a flash that is `worn` erases nothing. */
#include <string.h>

#include "model.h"

#define SLOT 4096u
#define MOST 4u

static uint8_t flash[MOST * SLOT];
static long budget;
static uint32_t stuck = UINT32_MAX;
static int worn;

static size_t spend(size_t length)
{
    const size_t done = budget < 0 ? length : (size_t)budget < length ? (size_t)budget : length;
    budget -= budget < 0 ? 0 : (long)done;
    return done;
}

static size_t flash_write(void *context, uint32_t offset, const void *bytes, size_t length)
{
    (void)context;
    const size_t done = spend(length);
    for (size_t i = 0; i < done; ++i) {
        if (offset + i != stuck) {
            flash[offset + i] &= ((const uint8_t *)bytes)[i]; /* NOR flash clears bits, and only an erase sets them */
        }
    }
    return done;
}

static size_t flash_read(void *context, uint32_t offset, void *bytes, size_t length)
{
    (void)context;
    memcpy(bytes, flash + offset, length);
    return length;
}

static size_t flash_erase(void *context, uint32_t offset, size_t length)
{
    (void)context;
    const size_t done = worn ? 0 : spend(length);
    memset(flash + offset, 0xFF, done);
    return done;
}

static const uint32_t places[MOST] = {0, SLOT, 2 * SLOT, 3 * SLOT};
const eff_slots power_slots = {flash_read, flash_write, flash_erase, NULL, places, 2, SLOT}; /* what EFF_SLOTS names */
static eff_slots slots = {flash_read, flash_write, flash_erase, NULL, places, 2, SLOT};

void power_clear(void) { memset(flash, 0xFF, sizeof flash); }

/* How the flash is until the next call of this: `stuck`, `worn`, and how long a slot is. */
void power_flaws(uint32_t stuck_byte, int is_worn, uint32_t slot_bytes)
{
    stuck = stuck_byte;
    worn = is_worn;
    slots.bytes = slot_bytes;
}

/* How many slots take turns. */
void power_count(uint32_t count) { slots.count = count; }

uint8_t *power_flash(void) { return flash; }

int power_save(long bytes)
{
    budget = bytes;
    const int code = eff_slots_save(&eff_learned, &slots);
    budget = -1;
    return code;
}

int power_restore(void) { return eff_slots_restore(&eff_learned, &slots); }
