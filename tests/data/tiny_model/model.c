#include "model.h"

#include <string.h>

#include "edgeff.h"

#if defined(__GNUC__)
#define EFF_NOINLINE __attribute__((noinline))
#else
#define EFF_NOINLINE
#endif

uint8_t eff_arena[EFF_ARENA_BYTES] __attribute__((aligned(8)));

/* What persists: weights 2 (2, 3), bias 2 (2), weights 1 (3, 4), bias 1 (3). */
static const float initial[23] = {
    0.25f, -0.5f, 0.75f, -0.25f, 0.5f, 0.125f, 0.0f, 0.0f,
    0.5f, -0.25f, 0.375f, 0.125f, -0.5f, 0.25f, 0.625f, -0.125f, 0.25f, 0.5f, -0.375f, 0.75f, 0.0f, 0.125f, -0.125f,
};

#define AT(type, offset) ((type *)(void *)(eff_arena + (offset)))
#define W2 AT(float, 0)
#define B2 AT(float, 24)
#define W1 AT(float, 32)
#define B1 AT(float, 80)
#define INPUT AT(float, 92)
#define HIDDEN AT(float, 108)
#define SCORES AT(float, 120)
#define ERROR AT(float, 128)
#define DELTA AT(float, 136)
#define LABEL AT(int32_t, 148)
#define BEST AT(int32_t, 152)

void eff_infer_calls(void);
void eff_learn_calls(void);

EFF_NOINLINE void eff_infer_calls(void)
{
    eff_dense_f32(HIDDEN, INPUT, W1, B1, 3, 4, 1);
    eff_dense_f32(SCORES, HIDDEN, W2, B2, 2, 3, 0);
    eff_argmax_f32(BEST, SCORES, 2);
}

EFF_NOINLINE void eff_learn_calls(void)
{
    eff_dense_f32(HIDDEN, INPUT, W1, B1, 3, 4, 1);
    eff_dense_f32(SCORES, HIDDEN, W2, B2, 2, 3, 0);
    eff_error_f32(ERROR, SCORES, LABEL, 2);
    eff_back_f32(DELTA, ERROR, W2, HIDDEN, 2, 3);
    eff_update_f32(W2, B2, ERROR, HIDDEN, 2, 3, 0.125f);
    eff_update_f32(W1, B1, DELTA, INPUT, 3, 4, 0.125f);
}

void eff_init(void)
{
    memset(eff_arena, 0, EFF_ARENA_BYTES);
    memcpy(eff_arena, initial, sizeof initial);
}

eff_input_t *eff_input(void)
{
    return INPUT;
}

const eff_output_t *eff_output(void)
{
    return SCORES;
}

int32_t eff_predict(void)
{
    eff_infer_calls();
    return *BEST;
}

int eff_learn(int32_t label)
{
    *LABEL = label;
    eff_learn_calls();
    return 0;
}

size_t eff_save_buffer(uint8_t *buffer, size_t length)
{
    (void)length;
    memcpy(buffer, eff_arena, EFF_SAVE_BYTES);
    return EFF_SAVE_BYTES;
}

int eff_restore_buffer(const uint8_t *buffer, size_t length)
{
    (void)length;
    memcpy(eff_arena, buffer, EFF_SAVE_BYTES);
    return 0;
}
