/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

void entry(const float x[1][INPUTS], float y[1][OUTPUTS]); /* the function that onnx2c writes */

void infer(void) { entry((const float(*)[INPUTS]) & sample, &output); }
