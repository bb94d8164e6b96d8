/* SPDX-License-Identifier: Apache-2.0 */
/* eff_state.c: saves and restores what a model has learned. */
#include "eff_state.h"

#define EFF_STATE_HEADER 20u /* bytes */
#define EFF_NO_CRC UINT32_C(0xFFFFFFFF)

typedef char eff_assert_chunk[EFF_STATE_CHUNK % 8u == 0u && EFF_STATE_CHUNK >= EFF_STATE_HEADER ? 1 : -1];

static EFF_SMALL uint32_t eff_crc(uint32_t crc, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; ++i) {
        crc ^= bytes[i];
        for (int32_t bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0u - (crc & 1u)));
        }
    }
    return crc;
}

static EFF_SMALL void eff_take(void *to, const void *from, size_t length)
{
    uint8_t *target = (uint8_t *)to;
    const uint8_t *source = (const uint8_t *)from;
    for (size_t i = 0; i < length; ++i) {
        target[i] = source[i];
    }
}

/* "EFS" and the version; the byte order of this machine decides where they stand and what the version is. */
static EFF_SMALL void eff_mark(uint8_t *mark)
{
    const uint16_t one = 1;
    mark[0] = 'E', mark[1] = 'F', mark[2] = 'S';
    mark[3] = *(const uint8_t *)&one ? 1u : 129u;
}

/* Whether the float32 numbers among the bytes at `first` of the payload are finite; `first` and `length` are multiples of 4. */
static EFF_SMALL int32_t eff_finite(const eff_state *state, size_t first, const uint8_t *bytes, size_t length)
{
    for (uint32_t run = 0; run < state->runs; ++run) {
        for (size_t i = 0; i < length; i += 4) {
            uint32_t word;
            eff_take(&word, bytes + i, 4);
            if (first + i >= state->floats[2 * run] && first + i < state->floats[2 * run + 1] &&
                (word & UINT32_C(0x7F800000)) == UINT32_C(0x7F800000)) {
                return 0;
            }
        }
    }
    return 1;
}

EFF_SMALL int eff_state_finite(const eff_state *state)
{
    return eff_finite(state, 0, state->payload, state->bytes) ? EFF_STATE_OK : EFF_STATE_NOT_FINITE;
}

/* ------------------------------------------------------------------ save */

typedef struct {
    eff_write write;
    void *context;
    uint32_t offset;
    size_t filled;
    int32_t failed;
    uint8_t bytes[EFF_STATE_CHUNK];
} eff_stream;

static EFF_SMALL void eff_flush(eff_stream *stream)
{
    if (!stream->failed && stream->write(stream->context, stream->offset, stream->bytes, stream->filled) != stream->filled) {
        stream->failed = 1;
    }
    stream->offset += (uint32_t)stream->filled;
    stream->filled = 0;
}

static EFF_SMALL void eff_put(eff_stream *stream, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; ++i) {
        stream->bytes[stream->filled++] = ((const uint8_t *)bytes)[i];
        if (stream->filled == EFF_STATE_CHUNK) {
            eff_flush(stream);
        }
    }
}

EFF_SMALL int eff_state_save(const eff_state *state, uint32_t sequence, eff_write write, void *context)
{
    if (eff_state_finite(state) != EFF_STATE_OK) {
        return EFF_STATE_NOT_FINITE;
    }
    eff_stream stream = {0};
    stream.write = write;
    stream.context = context;
    uint8_t header[EFF_STATE_HEADER];
    eff_mark(header);
    eff_take(header + 4, &sequence, 4);
    eff_take(header + 8, state->hash, 8);
    const uint32_t header_crc = ~eff_crc(EFF_NO_CRC, header, 16);
    eff_take(header + 16, &header_crc, 4);
    const uint32_t crc = ~eff_crc(EFF_NO_CRC, state->payload, state->bytes);
    eff_put(&stream, header, sizeof header);
    eff_put(&stream, state->payload, state->bytes);
    eff_put(&stream, &crc, 4);
    if (stream.filled != 0) {
        eff_flush(&stream);
    }
    return stream.failed ? EFF_STATE_NO_WRITE : EFF_STATE_OK;
}

/* ------------------------------------------------------------------ restore */

static EFF_SMALL int eff_check_header(const eff_state *state, const uint8_t *header)
{
    uint8_t mark[4];
    uint32_t crc;
    uint32_t hash[2];
    eff_mark(mark);
    if (header[0] != mark[0] || header[1] != mark[1] || header[2] != mark[2]) {
        return EFF_STATE_ABSENT;
    }
    eff_take(&crc, header + 16, 4);
    if (crc != ~eff_crc(EFF_NO_CRC, header, 16)) {
        return header[3] == (mark[3] ^ 128u) ? EFF_STATE_VERSION : EFF_STATE_DAMAGED;
    }
    eff_take(hash, header + 8, 8);
    if (header[3] != mark[3]) {
        return EFF_STATE_VERSION;
    }
    return hash[0] == state->hash[0] && hash[1] == state->hash[1] ? EFF_STATE_OK : EFF_STATE_FOREIGN;
}

/* The check; `crc` receives the check sum of the payload. */
static EFF_SMALL int eff_verify(const eff_state *state, eff_read read, void *context, uint32_t *sequence, uint32_t *crc)
{
    uint8_t bytes[EFF_STATE_CHUNK];
    if (read(context, 0, bytes, EFF_STATE_HEADER) != EFF_STATE_HEADER) {
        return EFF_STATE_TRUNCATED;
    }
    const int code = eff_check_header(state, bytes);
    if (code != EFF_STATE_OK) {
        return code;
    }
    eff_take(sequence, bytes + 4, 4);
    int32_t finite = 1;
    *crc = EFF_NO_CRC;
    for (size_t first = 0; first < state->bytes; first += EFF_STATE_CHUNK) {
        const size_t length = state->bytes - first < EFF_STATE_CHUNK ? state->bytes - first : EFF_STATE_CHUNK;
        if (read(context, EFF_STATE_HEADER + (uint32_t)first, bytes, length) != length) {
            return EFF_STATE_TRUNCATED;
        }
        *crc = eff_crc(*crc, bytes, length);
        finite = finite && eff_finite(state, first, bytes, length);
    }
    uint32_t expected;
    if (read(context, EFF_STATE_HEADER + (uint32_t)state->bytes, &expected, 4) != 4) {
        return EFF_STATE_TRUNCATED;
    }
    return expected != ~*crc ? EFF_STATE_DAMAGED : finite ? EFF_STATE_OK : EFF_STATE_NOT_FINITE;
}

EFF_SMALL int eff_state_check(const eff_state *state, eff_read read, void *context, uint32_t *sequence)
{
    uint32_t crc;
    return eff_verify(state, read, context, sequence, &crc);
}

EFF_SMALL int eff_state_restore(const eff_state *state, eff_read read, void *context)
{
    uint32_t sequence;
    uint32_t crc;
    const int code = eff_verify(state, read, context, &sequence, &crc);
    if (code != EFF_STATE_OK) {
        return code;
    }
    const size_t loaded = read(context, EFF_STATE_HEADER, state->payload, state->bytes);
    if (loaded != state->bytes || eff_crc(EFF_NO_CRC, state->payload, state->bytes) != crc) {
        state->reset();
        return EFF_STATE_LOST;
    }
    return EFF_STATE_OK;
}

/* ------------------------------------------------------------------ buffers */

typedef struct {
    uint8_t *to;
    const uint8_t *from;
    size_t length;
} eff_buffer;

static EFF_SMALL size_t eff_write_buffer(void *context, uint32_t offset, const void *bytes, size_t length)
{
    const eff_buffer *buffer = (const eff_buffer *)context;
    eff_take(buffer->to + offset, bytes, length);
    return length;
}

static EFF_SMALL size_t eff_read_buffer(void *context, uint32_t offset, void *bytes, size_t length)
{
    const eff_buffer *buffer = (const eff_buffer *)context;
    const size_t first = (size_t)offset;
    const size_t left = first < buffer->length ? buffer->length - first : 0;
    const size_t count = left < length ? left : length;
    eff_take(bytes, buffer->from + first, count);
    return count;
}

EFF_SMALL size_t eff_state_save_buffer(const eff_state *state, uint8_t *buffer, size_t length)
{
    eff_buffer place = {buffer, NULL, length};
    const size_t needed = EFF_STATE_OVERHEAD + state->bytes;
    return needed <= length && eff_state_save(state, 0, eff_write_buffer, &place) == EFF_STATE_OK ? needed : 0;
}

EFF_SMALL int eff_state_restore_buffer(const eff_state *state, const uint8_t *buffer, size_t length)
{
    eff_buffer place = {NULL, buffer, length};
    return eff_state_restore(state, eff_read_buffer, &place);
}
