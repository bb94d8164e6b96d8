/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits for commands in a mailbox in RAM. Whoever can halt the core and write its memory drives it: an emulator, or a debugger over SWD.
 *
 *   1. Let the core run until it halts at the breakpoint eff_wait.
 *   2. Write the input to the address in eff_mailbox.input, and eff_mailbox.label and eff_mailbox.command: with FILLED added where the
 *      input was written since the last command.
 *   3. Move the program counter past the breakpoint (2 bytes on a Cortex-M, 4 on a RISC-V core) and let the core run until it halts again.
 *   4. Read eff_mailbox.result, and the scores from the address in eff_mailbox.output.
 *
 * Without a debugger the breakpoint is a fault: replace this file by your own main to run the model stand-alone.
 */
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

#if EFF_HAS_LEARN && defined(EFF_SAVE_BYTES)
#define SAVE_BYTES ((uint32_t)EFF_SAVE_BYTES)
#else
#define SAVE_BYTES 0u
#endif

#if defined(__riscv)
#define WAIT ".globl eff_wait\neff_wait:\n.option push\n.option norvc\nebreak\n.option pop"
#else
#define WAIT ".globl eff_wait\neff_wait:\nbkpt 0"
#endif

enum { PREDICT = 1, LEARN = 2, INIT = 3, SAVE = 4, RESTORE = 5, RATE = 6, FIRST_LINE = 16, FILLED = 0x100 };

/* 24 bytes: six words on every core this template is for, so that the arena, aligned to 8 bytes, follows without a gap. */
typedef struct {
    uint32_t command;
    int32_t label;  /* of LEARN, unless it learns values; of RATE the bits of the rate, a float */
    int32_t result; /* the class; bytes saved; a code of model.h; -1 when the command is unknown or the RAM left over is too small */
    eff_input_t *input;
    const eff_output_t *output;
    uint8_t *saved; /* where SAVE writes, RESTORE reads and LEARN reads values: the RAM left over between the arena and the stack */
} eff_mailbox_t;

/* What the driver must know of the model: sizes in elements and bytes; kind is the size of an element, plus 256 for floating point. */
typedef struct {
    uint32_t inputs, outputs, classes, has_learn, arena_bytes, save_bytes, input_kind, output_kind;
} eff_facts_t;

#define KIND(type) ((uint32_t)sizeof(type) + ((type)0.5f > (type)0 ? 256u : 0u))

extern volatile eff_mailbox_t eff_mailbox;
extern const eff_facts_t eff_facts;
extern uint8_t eff_free_start[], eff_free_end[];

volatile eff_mailbox_t eff_mailbox __attribute__((section(".bss.eff_mailbox"), aligned(8)));
const eff_facts_t eff_facts __attribute__((section(".rodata.eff_facts"), used)) = {
    EFF_INPUTS, EFF_OUTPUTS, EFF_CLASSES, EFF_HAS_LEARN, EFF_ARENA_BYTES, SAVE_BYTES, KIND(eff_input_t), KIND(eff_output_t),
};

#if EFF_HAS_LEARN && defined(EFF_SAVE_BYTES)
static int fits(uint32_t size)
{
    return (uintptr_t)eff_free_end >= (uintptr_t)eff_free_start && (uintptr_t)eff_free_end - (uintptr_t)eff_free_start >= size;
}
#endif

static int32_t obey(uint32_t command)
{
    switch (command) {
    case PREDICT:
        return eff_predict();
    case INIT:
        eff_init();
        return 0;
#if EFF_HAS_LEARN
    case LEARN:
#ifdef EFF_LEARNS_VALUES
        return fits(EFF_OUTPUTS * sizeof(eff_output_t)) ? eff_learn_target((const eff_output_t *)(const void *)eff_free_start) : -1;
#else
        return eff_learn(eff_mailbox.label);
#endif
#endif
#if EFF_HAS_LEARN && defined(EFF_LARGEST_RATE)
    case RATE: {
        const union {
            int32_t bits;
            float value;
        } rate = {eff_mailbox.label};
        return eff_set_rate(rate.value);
    }
#endif
#if EFF_HAS_LEARN && defined(EFF_SAVE_BYTES)
    case SAVE:
        return fits(SAVE_BYTES) ? (int32_t)eff_save_buffer(eff_free_start, SAVE_BYTES) : -1;
    case RESTORE:
        return fits(SAVE_BYTES) ? eff_restore_buffer(eff_free_start, SAVE_BYTES) : -1;
#endif
#ifdef EFF_FURTHER_LINES
#define RUN(number, run) case FIRST_LINE + (number): return run;
        EFF_FURTHER_LINES(RUN, eff_mailbox.label)
#endif
    default:
        return -1;
    }
}

int main(void)
{
    eff_mailbox.input = eff_input();
    eff_mailbox.saved = eff_free_start;
    eff_init();
    for (;;) {
        eff_mailbox.output = eff_output();
        __asm volatile(WAIT ::: "memory");
        const uint32_t command = eff_mailbox.command;
        if (command & FILLED) {
            (void)eff_input();
        }
        eff_mailbox.result = obey(command & (FILLED - 1u));
    }
}
