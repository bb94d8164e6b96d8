#pragma once
#include <stddef.h>
#include <stdint.h>
int64_t k_uptime_get(void);
int32_t k_msleep(int32_t ms);
void k_yield(void);
int64_t k_uptime_ticks(void);
uint64_t k_ticks_to_us_floor64(uint64_t ticks);
void printk(const char *format, ...) __attribute__((format(printf, 1, 2)));
