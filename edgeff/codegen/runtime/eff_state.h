/* SPDX-License-Identifier: Apache-2.0 */
/* eff_state.h: learned state that survives a reset, written and read through callbacks without a copy in RAM.
 *
 * A saved state, version 1; words have 32 bits, in the machine's byte order:
 *
 *     0   "EFS", and in the fourth byte the version, plus 128 on a big-endian machine
 *     4   sequence number
 *     8   hash of all that inference reads and a state does not hold, two words
 *     16  CRC-32 of the 16 bytes before
 *     20  the payload: what persists of the arena
 *         CRC-32 of the payload
 */
#ifndef EFF_STATE_H
#define EFF_STATE_H

#include <stddef.h>
#include <stdint.h>

/* A save is rare and waits for flash: its code is made small, not fast. */
#if defined(__clang__)
#define EFF_SMALL __attribute__((minsize, noinline))
#elif defined(__GNUC__)
#define EFF_SMALL __attribute__((optimize("Os"), noinline))
#else
#define EFF_SMALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define EFF_STATE_OK           0
#define EFF_STATE_ABSENT     (-1) /* nothing was saved there */
#define EFF_STATE_TRUNCATED  (-2) /* the reader ended too early */
#define EFF_STATE_DAMAGED    (-3) /* a check sum is wrong */
#define EFF_STATE_VERSION    (-4) /* another version of the format, or another byte order */
#define EFF_STATE_FOREIGN    (-5) /* the state of another model */
#define EFF_STATE_NOT_FINITE (-6) /* a weight is NaN or infinite */
#define EFF_STATE_NO_WRITE   (-7) /* a callback could not write or erase, or there is too little room */
#define EFF_STATE_LOST       (-8) /* the second reading differed from the first: the weights are now those that were exported */

#define EFF_STATE_OVERHEAD 24u /* bytes of a saved state beside the payload */
#ifndef EFF_STATE_CHUNK
#define EFF_STATE_CHUNK 32u /* bytes of a write but the last, a multiple of 8; every write begins at a multiple of it */
#endif

/* Writes `length` bytes at `offset`, or reads them; returns how many it did. Fewer mean that it failed, or that there are no more. */
typedef size_t (*eff_write)(void *context, uint32_t offset, const void *bytes, size_t length);
typedef size_t (*eff_read)(void *context, uint32_t offset, void *bytes, size_t length);

/* What is saved of a model: `floats` holds the first byte and the one past the last of each run of float32 numbers in the payload. */
typedef struct {
    uint32_t hash[2];
    uint8_t *payload;
    size_t bytes;
    const uint32_t *floats;
    uint32_t runs;
    void (*reset)(void); /* the weights as they were exported */
} eff_state;

/* Whether every float of the running model is a finite number: EFF_STATE_OK or EFF_STATE_NOT_FINITE. */
int eff_state_finite(const eff_state *state);

/* Writes the state, its bytes in order. Returns EFF_STATE_OK, EFF_STATE_NO_WRITE, or EFF_STATE_NOT_FINITE: then nothing was written. */
int eff_state_save(const eff_state *state, uint32_t sequence, eff_write write, void *context);

/* Whether what is read can be restored: EFF_STATE_OK, with its sequence number, or why not. A flipped bit is EFF_STATE_DAMAGED; one
 * of the first three bytes is EFF_STATE_ABSENT, and the highest one of the fourth, which tells the byte order, EFF_STATE_VERSION. */
int eff_state_check(const eff_state *state, eff_read read, void *context, uint32_t *sequence);

/* Reads twice: all is checked first, then loaded. A refusal leaves the running model as it is, all but EFF_STATE_LOST. */
int eff_state_restore(const eff_state *state, eff_read read, void *context);

/* The same with a buffer of `length` bytes. eff_state_save_buffer returns how many it wrote, 0 when the buffer is too small. */
size_t eff_state_save_buffer(const eff_state *state, uint8_t *buffer, size_t length);
int eff_state_restore_buffer(const eff_state *state, const uint8_t *buffer, size_t length);

#ifdef __cplusplus
}
#endif

#endif
