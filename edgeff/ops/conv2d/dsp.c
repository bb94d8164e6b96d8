/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as they are, because they learn or cannot be packed: the window of each pixel is the input of a dense layer. One group only. */
#include "edgeff.h"
#include "eff_columns.h"

/* The scratch memory holds that of the dense layer, then the column. */
void eff_conv2d_i8_dsp(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                       const int32_t *shift, const eff_window *window, const eff_output_i8 *output, void *scratch)
{
    const int32_t out_h = window->out_h, out_w = window->out_w, in_c = window->in_c, backwards = eff_backwards(y, x);
    const eff_matrix size = {window->out_c, window->k_h * window->k_w * in_c};
    const int32_t alone = window->k_h * window->k_w == 1;
    int8_t *column = (int8_t *)scratch + (size.n_in + 7) / 8 * 16;
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards), top = oy * window->stride_h - window->pad_h;
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards), left = ox * window->stride_w - window->pad_w;
            if (!alone) {
                eff_window_column(column, x, window, top, left, output->x_zero);
            }
            eff_dense_i8_dsp(y + (oy * out_w + ox) * size.n_out, alone ? x + (top * window->in_w + left) * in_c : column, w, b,
                             multiplier, shift, &size, output, scratch);
        }
    }
}
