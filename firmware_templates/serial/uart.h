/* SPDX-License-Identifier: Apache-2.0 */
/* uart.h: the serial line of the board, 115200 baud, 8 bits, no parity, 1 stop bit. */
#ifndef UART_H
#define UART_H

void uart_start(void);
void uart_put(char character); /* waits until there is room */
char uart_get(void);           /* waits until there is one */

#endif
