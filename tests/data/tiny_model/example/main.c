/* The host example of a generated folder; firmware has its own main and leaves this one out. */
#include <stdio.h>

#include "model.h"

int main(void)
{
    eff_init();
    for (int32_t i = 0; i < EFF_INPUTS; i++) {
        eff_input()[i] = (eff_input_t)i;
    }
    printf("%d\n", (int)eff_predict());
    return 0;
}
