/* SPDX-License-Identifier: Apache-2.0 */
/* The same protocol on a computer: commands on the standard input, answers on the standard output; README.md has the command. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol.h"

static eff_protocol protocol;
static uint8_t memory[1u << 22];

void eff_port_put(char character) { putchar(character); }

uint64_t eff_port_microseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

#if EFF_PROTOCOL_ENERGY
void eff_port_pulse(void) { (void)fputc('|', stderr); }
#endif

uint8_t *eff_port_memory(size_t *length)
{
    *length = sizeof memory;
    return memory;
}

size_t eff_port_stack(void) { return 0u; }

int main(void)
{
    memset(memory, (int)EFF_PROTOCOL_PAINT, sizeof memory);
    eff_protocol_start(&protocol);
    (void)fflush(stdout);
    for (int c = getchar(); c != EOF; c = getchar()) {
        eff_protocol_take(&protocol, (char)c);
        if (c == '%') {
            (void)fflush(stdout);
        }
    }
    return 0;
}
