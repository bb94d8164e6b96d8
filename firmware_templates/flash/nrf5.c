/* SPDX-License-Identifier: Apache-2.0 */
/* nrf5.c: slots in the flash of an nRF51 or nRF52 (product specifications, "NVMC"). Never run on a chip.
 *
 * A word is written at a time; the core waits while the controller is busy, so an erase stops everything for some 85 ms. With a SoftDevice
 * its own functions must be called in place of these registers.
 */
#include "model/eff_slots.h"

#ifndef BLOCK_BYTES
#define BLOCK_BYTES 4096 /* 1024 on an nRF51 */
#endif
#ifndef SLOTS_FIRST
#define SLOTS_FIRST UINT32_C(0x000F0000) /* the last 64 KB of 1 MB, as of an nRF52840 */
#endif
#ifndef SLOT_BYTES
#define SLOT_BYTES UINT32_C(16384)
#endif
#ifndef SLOT_COUNT
#define SLOT_COUNT 4
#endif
#define READ_FIRST SLOTS_FIRST

#define NVMC_READY     (*(volatile uint32_t *)UINT32_C(0x4001E400))
#define NVMC_CONFIG    (*(volatile uint32_t *)UINT32_C(0x4001E504))
#define NVMC_ERASEPAGE (*(volatile uint32_t *)UINT32_C(0x4001E508))
enum { READING = 0, WRITING = 1, ERASING = 2 };

#if SLOT_COUNT < 2 || SLOT_COUNT > 4 || SLOT_BYTES % BLOCK_BYTES != 0 || SLOTS_FIRST % BLOCK_BYTES != 0
#error "SLOT_COUNT is 2, 3 or 4; SLOT_BYTES and SLOTS_FIRST are multiples of an erase block"
#endif

static size_t flash_read(void *context, uint32_t offset, void *bytes, size_t length)
{
    (void)context;
    const uint8_t *from = (const uint8_t *)(uintptr_t)(READ_FIRST + offset);
    for (size_t i = 0; i < length; ++i) {
        ((uint8_t *)bytes)[i] = from[i];
    }
    return length;
}

static void flash_wait(void)
{
    while (NVMC_READY == 0u) {
    }
}

static void flash_mode(uint32_t mode)
{
    flash_wait();
    NVMC_CONFIG = mode;
    flash_wait();
}

static size_t flash_write(void *context, uint32_t offset, const void *bytes, size_t length)
{
    (void)context;
    const uint8_t *from = (const uint8_t *)bytes;
    if (length % 4u != 0u || offset % 4u != 0u) {
        return 0;
    }
    flash_mode(WRITING);
    for (size_t i = 0; i < length; i += 4) {
        uint32_t word = 0;
        for (uint32_t byte = 0; byte < 4; ++byte) {
            word |= (uint32_t)from[i + byte] << (8u * byte);
        }
        *(volatile uint32_t *)(uintptr_t)(SLOTS_FIRST + offset + (uint32_t)i) = word;
        flash_wait();
    }
    flash_mode(READING);
    return length;
}

static size_t flash_erase(void *context, uint32_t offset, size_t length)
{
    (void)context;
    flash_mode(ERASING);
    for (uint32_t at = offset; at < offset + length; at += BLOCK_BYTES) {
        NVMC_ERASEPAGE = SLOTS_FIRST + at;
        flash_wait();
    }
    flash_mode(READING);
    return length;
}

static const uint32_t flash_places[SLOT_COUNT] = {
    0u,
    SLOT_BYTES,
#if SLOT_COUNT > 2
    2u * SLOT_BYTES,
#endif
#if SLOT_COUNT > 3
    3u * SLOT_BYTES,
#endif
};

extern const eff_slots flash_slots;
const eff_slots flash_slots = {flash_read, flash_write, flash_erase, NULL, flash_places, SLOT_COUNT, SLOT_BYTES};
