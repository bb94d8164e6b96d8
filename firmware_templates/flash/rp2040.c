/* SPDX-License-Identifier: Apache-2.0 */
/* rp2040.c: slots in the QSPI flash of an RP2040, by the functions of its boot ROM (RP2040 datasheet, 2.8.3). Never run on a chip.
 *
 * While the flash is erased or written nothing can be read from it: these functions lie in RAM, interrupts are off, and the other core must
 * not run from flash. Afterwards the ROM's slow way of reading is set; run the second-stage loader again for the fast one.
 */
#include "model/eff_slots.h"

#ifndef SLOTS_FIRST
#define SLOTS_FIRST UINT32_C(0x001F0000) /* from the begin of the flash: the last 64 KB of 2 MB */
#endif
#ifndef SLOT_BYTES
#define SLOT_BYTES UINT32_C(16384)
#endif
#ifndef SLOT_COUNT
#define SLOT_COUNT 4
#endif
#define BLOCK_BYTES 4096
#define PAGE_BYTES UINT32_C(256)
#define READ_FIRST (UINT32_C(0x10000000) + SLOTS_FIRST)
#define IN_RAM __attribute__((section(".data.flash"), noinline))

typedef void (*rom_plain)(void);
typedef void (*rom_erase)(uint32_t offset, size_t length, uint32_t block, uint8_t command);
typedef void (*rom_program)(uint32_t offset, const uint8_t *bytes, size_t length);
typedef void *(*rom_find)(uint16_t *table, uint32_t code);

typedef struct {
    rom_plain connect, leave_reading, flush, read_again;
    rom_erase erase;
    rom_program program;
} rom_functions;

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

/* What the ROM calls by two letters. Its table and its search function are 16-bit addresses at 0x14 and 0x18. */
static void *rom_function(char first, char second)
{
    const rom_find find = (rom_find)(uintptr_t) * (volatile uint16_t *)UINT32_C(0x18);
    return find((uint16_t *)(uintptr_t) * (volatile uint16_t *)UINT32_C(0x14), (uint32_t)first | (uint32_t)second << 8);
}

static rom_functions rom_all(void)
{
    rom_functions rom;
    rom.connect = (rom_plain)rom_function('I', 'F');
    rom.leave_reading = (rom_plain)rom_function('E', 'X');
    rom.erase = (rom_erase)rom_function('R', 'E');
    rom.program = (rom_program)rom_function('R', 'P');
    rom.flush = (rom_plain)rom_function('F', 'C');
    rom.read_again = (rom_plain)rom_function('C', 'X');
    return rom;
}

/* Erases `length` bytes, or where `page` is not NULL writes it: nothing from flash is called in between. */
IN_RAM static void flash_change(const rom_functions *rom, uint32_t offset, size_t length, const uint8_t *page)
{
    uint32_t masked;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(masked) : : "memory");
    rom->connect();
    rom->leave_reading();
    if (page != NULL) {
        rom->program(offset, page, length);
    } else {
        rom->erase(offset, length, UINT32_C(1) << 16, 0xD8);
    }
    rom->flush();
    rom->read_again();
    __asm volatile("msr primask, %0" : : "r"(masked) : "memory");
}

static size_t flash_write(void *context, uint32_t offset, const void *bytes, size_t length)
{
    (void)context;
    const rom_functions rom = rom_all();
    const uint32_t first = offset % PAGE_BYTES;
    uint8_t page[PAGE_BYTES];
    if (first + length > PAGE_BYTES) {
        return 0;
    }
    for (uint32_t i = 0; i < PAGE_BYTES; ++i) {
        page[i] = i >= first && i < first + length ? ((const uint8_t *)bytes)[i - first] : 0xFFu; /* 0xFF leaves a byte as it is */
    }
    flash_change(&rom, SLOTS_FIRST + offset - first, PAGE_BYTES, page);
    return length;
}

static size_t flash_erase(void *context, uint32_t offset, size_t length)
{
    (void)context;
    const rom_functions rom = rom_all();
    flash_change(&rom, SLOTS_FIRST + offset, length, NULL);
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
