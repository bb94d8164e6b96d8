/* SPDX-License-Identifier: Apache-2.0 */
/* memcpy, memmove and memset: compilers call them on their own, and no C library is linked. Words where both ends are aligned. */
#include <string.h>

#include <stdint.h>

/* GCC would turn these loops into calls of the very functions they define. */
#if defined(__GNUC__) && !defined(__clang__)
#define PLAIN_LOOPS __attribute__((optimize("no-tree-loop-distribute-patterns")))
#else
#define PLAIN_LOOPS
#endif

typedef uint32_t __attribute__((may_alias)) word_t;

PLAIN_LOOPS void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0u) {
        for (; count >= 4u; count -= 4u, out += 4, in += 4) {
            *(word_t *)(void *)out = *(const word_t *)(const void *)in;
        }
    }
    for (; count > 0u; count--) {
        *out++ = *in++;
    }
    return to;
}

PLAIN_LOOPS void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((uintptr_t)out <= (uintptr_t)in) {
        for (; count > 0u; count--) {
            *out++ = *in++;
        }
    } else {
        for (; count > 0u; count--) {
            out[count - 1u] = in[count - 1u];
        }
    }
    return to;
}

PLAIN_LOOPS void *memset(void *to, int value, size_t count)
{
    uint8_t *out = to;
    if (((uintptr_t)out & 3u) == 0u) {
        const uint32_t word = (uint32_t)(uint8_t)value * 0x01010101u;
        for (; count >= 4u; count -= 4u, out += 4) {
            *(word_t *)(void *)out = word;
        }
    }
    for (; count > 0u; count--) {
        *out++ = (uint8_t)value;
    }
    return to;
}
