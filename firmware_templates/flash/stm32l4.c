/* SPDX-License-Identifier: Apache-2.0 */
/* stm32l4.c: slots in the flash of an STM32L4 or L4+ with two banks (RM0351 and RM0432, "Embedded flash memory"). Never run on a chip.
 *
 * 8 bytes are written at a time, once between erases; the core waits while the bank that it runs from is busy. Interrupts may go on.
 */
#include "model/eff_slots.h"

#ifndef SLOTS_FIRST
#define SLOTS_FIRST UINT32_C(0x081F0000) /* the last 64 KB of 2 MB */
#endif
#ifndef SLOT_BYTES
#define SLOT_BYTES UINT32_C(16384)
#endif
#ifndef SLOT_COUNT
#define SLOT_COUNT 4
#endif
#define BLOCK_BYTES 4096
#define BANK_BYTES UINT32_C(0x00100000)
#define READ_FIRST SLOTS_FIRST

#define FLASH_KEYR (*(volatile uint32_t *)UINT32_C(0x40022008))
#define FLASH_SR   (*(volatile uint32_t *)UINT32_C(0x40022010))
#define FLASH_CR   (*(volatile uint32_t *)UINT32_C(0x40022014))
#define SR_BUSY    (UINT32_C(1) << 16)
#define SR_ERRORS  UINT32_C(0x0000C3FA) /* of programming, protection, alignment, size, sequence, misses and reading */
#define CR_PROGRAM UINT32_C(1)
#define CR_ERASE   UINT32_C(2)
#define CR_BANK_2  (UINT32_C(1) << 11)
#define CR_START   (UINT32_C(1) << 16)
#define CR_LOCK    (UINT32_C(1) << 31)

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

/* Waits; whether all that was done so far went well. */
static int flash_done(void)
{
    while (FLASH_SR & SR_BUSY) {
    }
    return (FLASH_SR & SR_ERRORS) == 0u;
}

static int flash_unlock(void)
{
    (void)flash_done();
    FLASH_SR = SR_ERRORS; /* a one clears */
    if (FLASH_CR & CR_LOCK) {
        FLASH_KEYR = UINT32_C(0x45670123);
        FLASH_KEYR = UINT32_C(0xCDEF89AB);
    }
    return (FLASH_CR & CR_LOCK) == 0u;
}

static size_t flash_write(void *context, uint32_t offset, const void *bytes, size_t length)
{
    (void)context;
    const uint8_t *from = (const uint8_t *)bytes;
    int good = length % 8u == 0u && offset % 8u == 0u && flash_unlock();
    for (size_t i = 0; good && i < length; i += 8) {
        uint32_t words[2] = {0, 0};
        for (uint32_t byte = 0; byte < 8; ++byte) {
            words[byte / 4u] |= (uint32_t)from[i + byte] << (8u * (byte % 4u));
        }
        volatile uint32_t *to = (volatile uint32_t *)(uintptr_t)(SLOTS_FIRST + offset + (uint32_t)i);
        FLASH_CR = CR_PROGRAM;
        to[0] = words[0];
        to[1] = words[1];
        good = flash_done();
    }
    FLASH_CR = CR_LOCK;
    return good ? length : 0;
}

static size_t flash_erase(void *context, uint32_t offset, size_t length)
{
    (void)context;
    int good = flash_unlock();
    for (uint32_t at = offset; good && at < offset + length; at += BLOCK_BYTES) {
        const uint32_t place = SLOTS_FIRST - UINT32_C(0x08000000) + at;
        const uint32_t page = place % BANK_BYTES / BLOCK_BYTES, bank = place < BANK_BYTES ? 0u : CR_BANK_2;
        FLASH_CR = CR_ERASE | page << 3 | bank;
        FLASH_CR = CR_ERASE | page << 3 | bank | CR_START;
        good = flash_done();
    }
    FLASH_CR = CR_LOCK;
    return good ? length : 0;
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
