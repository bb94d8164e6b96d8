/* CMSIS-Driver: a USART. */
#ifndef DRIVER_USART_H
#define DRIVER_USART_H

#include <stddef.h>
#include <stdint.h>

#define ARM_DRIVER_OK 0
#define ARM_USART_MODE_ASYNCHRONOUS (1ul << 0)
#define ARM_USART_DATA_BITS_8 (0ul << 8)
#define ARM_USART_PARITY_NONE (0ul << 12)
#define ARM_USART_STOP_BITS_1 (0ul << 14)
#define ARM_USART_CONTROL_TX (0x15ul << 0)
#define ARM_USART_CONTROL_RX (0x16ul << 0)

typedef enum { ARM_POWER_OFF, ARM_POWER_LOW, ARM_POWER_FULL } ARM_POWER_STATE;
typedef void (*ARM_USART_SignalEvent_t)(uint32_t event);
typedef struct {
    uint32_t tx_busy : 1;
    uint32_t rx_busy : 1;
    uint32_t reserved : 30;
} ARM_USART_STATUS;

typedef struct {
    int32_t (*Initialize)(ARM_USART_SignalEvent_t event);
    int32_t (*PowerControl)(ARM_POWER_STATE state);
    int32_t (*Send)(const void *data, uint32_t count);
    int32_t (*Receive)(void *data, uint32_t count);
    uint32_t (*GetRxCount)(void);
    int32_t (*Control)(uint32_t control, uint32_t argument);
    ARM_USART_STATUS (*GetStatus)(void);
} const ARM_DRIVER_USART;

#endif
