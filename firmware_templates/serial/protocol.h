/* SPDX-License-Identifier: Apache-2.0 */
/* protocol.h: a model over a serial line, by the commands of MLPerf Tiny's runner and some of edgeff's own.
 *
 * The host ends a command with '%', the board a line with CR LF and every reply, an error too, with "m-ready". Portable C99: what a board
 * or a computer has to give are the functions eff_port_...; the model's own interface is model.h.
 *
 *   name  profile  timestamp  db load N  db HH..  db print  infer N [W]  results     as MLPerf Tiny has them
 *   learn LABEL [N]    learns N times (1) that the input loaded is of that class
 *   rate R             sets the learning rate from now on, relative to the program's own: 0 to 1, at most six decimals
 *   save               writes what was learned: lines m-state-HH..
 *   load N, load HH..  reads it back; the state is taken, or refused with a code of eff_state.h, at byte N
 *   state              what the model is and what it has done so far, as key=value
 *   init               the weights as they were exported
 */
#ifndef EFF_PROTOCOL_H
#define EFF_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "names.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EFF_PROTOCOL_LINE 80u /* bytes of a command, its end included */
#ifndef EFF_PROTOCOL_MOST_RUNS
#define EFF_PROTOCOL_MOST_RUNS 1000000u /* the most inferences or steps of one command */
#endif
#define EFF_PROTOCOL_PAINT 0xA5u /* what free memory holds, so that the stack's depth shows */

#define EFF_PROTOCOL_INPUT_BYTES (EFF_INPUTS * (EFF_PROTOCOL_MSE ? sizeof(float) : sizeof(eff_input_t)))

/* All that it keeps: a multiple of 8 bytes. The input has its own place, because a model may use the memory of its input. */
typedef struct {
    union {
        uint64_t aligned[(EFF_PROTOCOL_INPUT_BYTES + 7u) / 8u];
        uint8_t bytes[EFF_PROTOCOL_INPUT_BYTES];
    } input;
    char line[EFF_PROTOCOL_LINE];
    uint32_t length;          /* of the line so far */
    uint32_t overlong;        /* whether it has been longer than the buffer */
    uint32_t expected, count; /* bytes of the input that `db load` announced, and those that came */
    uint32_t state_expected, state_count;
    uint32_t steps, refused;  /* of learning, since the start */
    int32_t best;             /* the class that the last inference gave */
    uint32_t scored;          /* whether the scores are there */
} eff_protocol;

/* The first lines, after a reset. The memory of `protocol` is zero before. */
void eff_protocol_start(eff_protocol *protocol);

/* One character from the host; the one that ends a command is answered before this returns. */
void eff_protocol_take(eff_protocol *protocol, char character);

/* What the board gives. */
void eff_port_put(char character);             /* to the host; waits until it is on its way */
uint64_t eff_port_microseconds(void);          /* since the start */
#if EFF_PROTOCOL_ENERGY
void eff_port_pulse(void);                     /* a pin low for a microsecond or more: in energy mode the meter reads the time by it */
#endif
uint8_t *eff_port_memory(size_t *length);      /* memory for a saved state while it comes in, holding EFF_PROTOCOL_PAINT; may be of length 0 */
size_t eff_port_stack(void);                   /* bytes of stack used at most so far; 0 where that is not known */

#ifdef __cplusplus
}
#endif

#endif
