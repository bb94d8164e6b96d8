/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the edges between the code blocks that an emulated core runs: which block, followed by which, how many times, in which call.
 *
 * A block hook of the emulator (it gets the address and the size of the block about to run). The calls that are distinguished are those of
 one * straight-line function, the body: each time execution leaves the body a call begins, and the code between two calls belongs to the
 * later one. counting.py has the same in Python, and the structures.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t count;
    uint32_t from, from_size, to, segment;
} edge_t;

typedef struct {
    uint32_t body_start, body_end;
    uint32_t previous, previous_size, segment, calls;
    uint32_t used, mask, overflow; /* mask: the number of slots, a power of two, minus 1 */
    edge_t *edges;                 /* a slot with count 0 is free */
} counter_t;

void eff_count_block(void *emulator, uint64_t address, uint32_t size, void *counter);

static void add_edge(counter_t *c, uint32_t to)
{
    uint32_t slot = (c->previous * 2654435761u ^ to * 2246822519u ^ c->segment * 3266489917u ^ c->previous_size) >> 4;
    for (;; slot++) {
        edge_t *edge = &c->edges[slot & c->mask];
        if (edge->count == 0u) {
            if (c->used > c->mask / 2u) {
                c->overflow = 1u;
                return;
            }
            c->used++;
            *edge = (edge_t){1u, c->previous, c->previous_size, to, c->segment};
            return;
        }
        if (edge->from == c->previous && edge->to == to && edge->segment == c->segment && edge->from_size == c->previous_size) {
            edge->count++;
            return;
        }
    }
}

void eff_count_block(void *emulator, uint64_t address, uint32_t size, void *counter)
{
    counter_t *c = counter;
    const uint32_t to = (uint32_t)address;
    (void)emulator;
    if (c->previous_size != 0u) {
        add_edge(c, to);
    }
    if (to >= c->body_start && to < c->body_end) {
        c->segment = c->calls;
    } else if (c->previous >= c->body_start && c->previous < c->body_end) {
        c->calls++;
    }
    c->previous = to;
    c->previous_size = size;
}
