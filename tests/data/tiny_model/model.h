/* A dense 4-3-2 network in float32 that learns by gradient descent on the squared error. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define EFF_INPUTS 4
#define EFF_OUTPUTS 2
#define EFF_CLASSES 2
#define EFF_HAS_LEARN 1
#define EFF_ARENA_BYTES 156u
#define EFF_SAVE_BYTES 92u

typedef float eff_input_t;
typedef float eff_output_t;

extern uint8_t eff_arena[EFF_ARENA_BYTES];

void eff_init(void);
eff_input_t *eff_input(void);
const eff_output_t *eff_output(void);
int32_t eff_predict(void);
int eff_learn(int32_t label);
size_t eff_save_buffer(uint8_t *buffer, size_t length);
int eff_restore_buffer(const uint8_t *buffer, size_t length);

#endif
