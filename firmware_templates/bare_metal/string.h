/* SPDX-License-Identifier: Apache-2.0 */
/* The part of string.h that memory.c provides; no C library is linked. */
#ifndef EFF_STRING_H
#define EFF_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

#endif
