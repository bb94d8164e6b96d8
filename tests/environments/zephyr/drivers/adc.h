#pragma once
#include <stddef.h>
struct adc_dt_spec {
    const struct device *dev;
    unsigned char channel_id;
};
struct adc_sequence {
    const void *options;
    unsigned int channels;
    void *buffer;
    size_t buffer_size;
};
#define ADC_DT_SPEC_GET(...) {NULL, 0}
int adc_channel_setup_dt(const struct adc_dt_spec *spec);
int adc_sequence_init_dt(const struct adc_dt_spec *spec, struct adc_sequence *sequence);
int adc_read_dt(const struct adc_dt_spec *spec, const struct adc_sequence *sequence);
