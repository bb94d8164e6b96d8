#pragma once
#include <stddef.h>
#include <stdint.h>
int64_t k_uptime_get(void);
int32_t k_msleep(int32_t ms);
void printk(const char *format, ...) __attribute__((format(printf, 1, 2)));
