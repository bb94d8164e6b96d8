/* CMSIS-Core: the header of a device, of which the examples use the clock and the core's timer. */
#ifndef CMSIS_DEVICE_H
#define CMSIS_DEVICE_H

#include <stdint.h>

typedef struct {
    volatile uint32_t CTRL, LOAD, VAL;
    volatile const uint32_t CALIB;
} SysTick_Type;
#define SysTick ((SysTick_Type *)0xE000E010u)

extern uint32_t SystemCoreClock;
void SystemCoreClockUpdate(void);
uint32_t SysTick_Config(uint32_t ticks);

#endif
