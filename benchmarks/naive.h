/* SPDX-License-Identifier: Apache-2.0 */
/* Weights are those of all layers, one after the other, each (outputs, inputs); feedback is (INPUTS, OUTPUTS). */
#ifndef NAIVE_H
#define NAIVE_H

void naive_infer(float *y, const float *w, const float *x);
void naive_bp_step(float *w, const float *x, const float *target);
void naive_pepita_step(float *w, const float *feedback, const float *x, const float *target);

#endif
