/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over an output whose elements are each computed from one element of either side, some of which serve several places. */
#ifndef EFF_BROADCAST_H
#define EFF_BROADCAST_H

#include "edgeff.h"

/* Sets each element of y, in C order, to `result`, an expression of the elements l of a and r of c. */
#define EFF_FOR_EACH_PAIR(type, result)                                                                     \
    do {                                                                                                    \
        for (int32_t i0 = 0; i0 < how->n0; ++i0) {                                                          \
            for (int32_t i1 = 0; i1 < how->n1; ++i1) {                                                      \
                for (int32_t i2 = 0; i2 < how->n2; ++i2) {                                                  \
                    const type *p = a + (i0 * how->a0 + i1 * how->a1 + i2 * how->a2);                       \
                    const type *q = c + (i0 * how->c0 + i1 * how->c1 + i2 * how->c2);                       \
                    for (int32_t i3 = 0; i3 < how->n3; ++i3) {                                              \
                        const type l = p[i3 * how->a3];                                                     \
                        const type r = q[i3 * how->c3];                                                     \
                        *y++ = (result);                                                                    \
                    }                                                                                       \
                }                                                                                           \
            }                                                                                               \
        }                                                                                                   \
    } while (0)

#endif
