/* SPDX-License-Identifier: Apache-2.0 */
/* Below a pooled linear head: the walk over positions and windows of the pool, and the two convolutions of a block. */
#ifndef EFF_POOLED_H
#define EFF_POOLED_H

#include "eff_walk.h"

/* A walk over the positions whose tap lies inside the image: rows and columns of positions from (oy, ox) on, the steps of the tap between
 * them, and where the windows of the pool lie. */
typedef struct {
    int32_t oy, ox, rows, columns, a_down, a_across, out_w, out_c, pool_h, pool_w, pools, gated;
} eff_pooled_walk;

static inline eff_pooled_walk eff_pooled_walk_of(int32_t out_w, int32_t out_c, const eff_pool_grid *grid)
{
    const eff_pooled_walk walk = {0, 0, 0, 0, 0, 0, out_w, out_c, grid->pool_h, grid->pool_w, (out_w - 1) / grid->pool_w + 1, grid->gated};
    return walk;
}

/* Sets the walk of tap (ky, kx) of a window; whether it visits any position. */
static inline int32_t eff_pooled_tap(eff_pooled_walk *walk, const eff_window *w, int32_t ky, int32_t kx)
{
    walk->oy = eff_first_position(ky, w->stride_h, w->pad_h);
    walk->ox = eff_first_position(kx, w->stride_w, w->pad_w);
    walk->rows = eff_last_position(ky, w->stride_h, w->pad_h, w->in_h, w->out_h) - walk->oy;
    walk->columns = eff_last_position(kx, w->stride_w, w->pad_w, w->in_w, w->out_w) - walk->ox;
    return walk->rows > 0 && walk->columns > 0;
}

/* The first column after `ox` that lies in another window of the pool, at most `end`. */
static inline int32_t eff_pool_end(int32_t ox, int32_t end, int32_t pool_w)
{
    const int32_t left = pool_w - ox % pool_w;
    return end - ox > left ? ox + left : end;
}

/* The first and the second convolution of a pair as windows. */
static inline eff_window eff_pair_first(const eff_pair *p)
{
    const eff_window w = {p->in_h, p->in_w, p->in_c, p->mid_h, p->mid_w, p->mid_c, p->k_h, p->k_w,
                          p->stride_h, p->stride_w, p->pad_h, p->pad_w, p->depthwise ? p->in_c : 1};
    return w;
}

static inline eff_window eff_pair_second(const eff_pair *p)
{
    const eff_window w = {p->mid_h, p->mid_w, p->mid_c, p->out_h, p->out_w, p->out_c, p->then_k_h, p->then_k_w,
                          p->then_stride_h, p->then_stride_w, p->then_pad_h, p->then_pad_w, 1};
    return w;
}

#endif
