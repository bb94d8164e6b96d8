/* SPDX-License-Identifier: Apache-2.0 */
/* eff_chain.c: the places of blocks lie one after the other, in their order. */
#include "eff_chain.h"

typedef struct {
    const eff_chain_flash *flash;
    uint32_t first;
} eff_place;

static EFF_SMALL size_t eff_write_place(void *context, uint32_t offset, const void *bytes, size_t length)
{
    const eff_place *place = (const eff_place *)context;
    return place->flash->write(place->flash->context, place->first + offset, bytes, length);
}

static EFF_SMALL size_t eff_read_place(void *context, uint32_t offset, void *bytes, size_t length)
{
    const eff_place *place = (const eff_place *)context;
    return place->flash->read(place->flash->context, place->first + offset, bytes, length);
}

static EFF_SMALL size_t eff_place_bytes(const eff_block *block, size_t erase_bytes)
{
    return (EFF_STATE_OVERHEAD + block->learned->bytes + erase_bytes - 1u) / erase_bytes * erase_bytes;
}

static EFF_SMALL eff_place eff_place_of(const eff_chain *chain, int32_t block)
{
    eff_place place = {chain->flash, chain->flash->first};
    for (int32_t i = 0; i < block; ++i) {
        place.first += (uint32_t)eff_place_bytes(&chain->blocks[i], chain->flash->erase_bytes);
    }
    return place;
}

static EFF_SMALL int eff_finished(const eff_chain *chain, int32_t block)
{
    eff_place place = eff_place_of(chain, block);
    uint32_t sequence;
    return eff_state_check(chain->blocks[block].learned, eff_read_place, &place, &sequence);
}

/* The blocks from `current` on that are finished are passed; the next one begins, or the last one is loaded. */
static EFF_SMALL int eff_go_on(eff_chain *chain)
{
    for (; chain->current < chain->count && eff_finished(chain, chain->current) == EFF_STATE_OK; ++chain->current) {
        chain->payloads[chain->current] = chain->flash->memory + eff_place_of(chain, chain->current).first + EFF_STATE_OVERHEAD - 4u;
    }
    const int32_t loaded = chain->current < chain->count ? chain->current : chain->count - 1;
    chain->blocks[loaded].init();
    if (chain->current < chain->count) {
        return EFF_STATE_OK;
    }
    eff_place place = eff_place_of(chain, loaded);
    return eff_state_restore(chain->blocks[loaded].learned, eff_read_place, &place);
}

EFF_SMALL int eff_chain_start(eff_chain *chain, const eff_chain_flash *flash)
{
    chain->flash = flash;
    chain->current = 0;
    return eff_go_on(chain);
}

EFF_SMALL int eff_chain_finish(eff_chain *chain)
{
    if (chain->current >= chain->count) {
        return EFF_STATE_ABSENT;
    }
    const eff_block *block = &chain->blocks[chain->current];
    eff_place place = eff_place_of(chain, chain->current);
    const size_t bytes = eff_place_bytes(block, chain->flash->erase_bytes);
    if (chain->flash->erase(chain->flash->context, place.first, bytes) != bytes) {
        return EFF_STATE_NO_WRITE;
    }
    int code = eff_state_save(block->learned, 1u, eff_write_place, &place);
    code = code != EFF_STATE_OK ? code : eff_finished(chain, chain->current);
    return code != EFF_STATE_OK ? code : eff_go_on(chain);
}

EFF_SMALL int eff_chain_forget(eff_chain *chain)
{
    for (int32_t i = chain->count - 1; i >= 0; --i) {
        const size_t bytes = eff_place_bytes(&chain->blocks[i], chain->flash->erase_bytes);
        if (chain->flash->erase(chain->flash->context, eff_place_of(chain, i).first, bytes) != bytes) {
            return EFF_STATE_NO_WRITE;
        }
    }
    chain->current = 0;
    return eff_go_on(chain);
}

EFF_SMALL size_t eff_chain_bytes(const eff_chain *chain, size_t erase_bytes)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < chain->count; ++i) {
        bytes += eff_place_bytes(&chain->blocks[i], erase_bytes);
    }
    return bytes;
}
