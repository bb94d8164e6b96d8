#pragma once
TickType_t xTaskGetTickCount(void);
void vTaskDelayUntil(TickType_t *woken, TickType_t ticks);
