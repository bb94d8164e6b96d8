/* A chain over a flash whose power fails: after `budget` operations nothing happens any more. A program of `granule` bytes and an erase of a block
 * are an operation each, and the one that fails is done by half. Erases are counted. */
#include <string.h>

#include "chain.h"

#ifndef BLOCK
#define BLOCK 512u
#endif
#define GRANULE 8u
#ifndef BLOCKS
#define BLOCKS 32u
#endif

static uint64_t words[BLOCK * BLOCKS / 8u];
static int32_t budget, erases[BLOCKS];

static uint8_t *flash(void) { return (uint8_t *)words; }

/* How much of an operation on `length` bytes is done. */
static size_t spend(size_t length)
{
    if (budget < 0) {
        return length;
    }
    return budget-- > 0 ? length : (budget = 0, length / 2u);
}

static size_t chain_write(void *context, uint32_t offset, const void *bytes, size_t length)
{
    (void)context;
    for (size_t at = 0; at < length; at += GRANULE) {
        const size_t wanted = length - at < GRANULE ? length - at : GRANULE;
        const int32_t dead = budget == 0;
        const size_t done = dead ? 0 : spend(wanted);
        for (size_t i = 0; i < done; ++i) {
            flash()[offset + at + i] &= ((const uint8_t *)bytes)[at + i]; /* NOR flash clears bits, and only an erase sets them */
        }
        if (done != wanted) {
            return at + done;
        }
    }
    return length;
}

static size_t chain_read(void *context, uint32_t offset, void *bytes, size_t length)
{
    (void)context;
    memcpy(bytes, flash() + offset, length);
    return length;
}

static size_t chain_erase(void *context, uint32_t offset, size_t length)
{
    (void)context;
    for (size_t at = 0; at < length; at += BLOCK) {
        const size_t done = budget == 0 ? 0 : spend(BLOCK);
        memset(flash() + offset + at, 0xFF, done);
        erases[(offset + at) / BLOCK] += done == BLOCK;
        if (done != BLOCK) {
            return at + done;
        }
    }
    return length;
}

static eff_chain_flash place = {chain_read, chain_write, chain_erase, NULL, (const uint8_t *)words, BLOCK, BLOCK};

void power_clear(void)
{
    memset(words, 0x5A, sizeof words); /* whatever was there before */
    memset(erases, 0, sizeof erases);
}

/* The power comes back and lasts for `operations`, for ever if that is negative. */
int power_on(int32_t operations)
{
    budget = operations;
    return chain_start(&place);
}

int power_learn(const int8_t *x, int32_t length, int32_t label)
{
    memcpy(chain_input(), x, (size_t)length);
    return chain_learn(label);
}

int power_predict(const int8_t *x, int32_t length)
{
    memcpy(chain_input(), x, (size_t)length);
    return chain_predict();
}

uint8_t *power_flash(void) { return flash(); }
int32_t power_left(void) { return budget; }
int32_t power_erases(int32_t block) { return erases[block]; }
