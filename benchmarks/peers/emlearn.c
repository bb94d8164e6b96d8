/* SPDX-License-Identifier: Apache-2.0 */
#include "generated.h" /* what emlearn writes: the network `peer`, in its form `loadable` */

#include "model.h"

void infer(void) { peer_regress(sample, INPUTS, output, OUTPUTS); }
