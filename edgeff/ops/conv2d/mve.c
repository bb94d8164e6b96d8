/* SPDX-License-Identifier: Apache-2.0 */
/* The window of each pixel is the input of a dense layer, which Helium takes sixteen bytes at a time. One group only. */
#include "edgeff.h"
#include "eff_columns.h"

/* A pixel's window is copied out before its outputs are written. */
void eff_conv2d_i8_mve(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                       const eff_window *window, const eff_output_i8 *output, void *scratch)
{
    const int32_t out_w = window->out_w, pixels = window->out_h * out_w, backwards = eff_backwards(y, x);
    const eff_matrix size = {window->out_c, window->k_h * window->k_w * window->in_c};
    /* 64 channels are in registers before the first output is written. */
    const int32_t alone = size.n_in == 64 && window->in_c == 64 && window->stride_h * window->stride_w == 1 && size.n_out % 4 == 0 && output->per_channel;
    for (int32_t done = 0; done < pixels; ++done) {
        const int32_t pixel = eff_visited(done, pixels, backwards), oy = pixel / out_w, ox = pixel - oy * out_w;
        const int8_t *column = x + pixel * size.n_in;
        if (!alone) {
            eff_window_column(scratch, x, window, oy * window->stride_h - window->pad_h, ox * window->stride_w - window->pad_w,
                              output->x_zero);
            column = scratch;
        }
        eff_dense_i8_mve(y + pixel * size.n_out, column, w, b, multiplier, shift, &size, output);
    }
}
