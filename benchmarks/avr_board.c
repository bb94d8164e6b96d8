/* SPDX-License-Identifier: Apache-2.0 */
/* An ATmega2560 at 16 MHz that simavr emulates, its UART 0 on a pseudo-terminal whose name is the first line printed; it ends with its parent.
 * cc avr_board.c -lsimavr -lelf -o avr_board && ./avr_board sketch.elf */
#define _XOPEN_SOURCE 600
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

enum { CYCLES_AT_ONCE = 2000 };

static int line, ready = 1;

static void out(struct avr_irq_t *irq, uint32_t value, void *context)
{
    const uint8_t byte = (uint8_t)value;
    (void)irq;
    (void)context;
    while (write(line, &byte, 1) != 1) {
        usleep(100);
    }
}

static void xon(struct avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)value;
    (void)context;
    ready = 1;
}

static void xoff(struct avr_irq_t *irq, uint32_t value, void *context)
{
    (void)irq;
    (void)value;
    (void)context;
    ready = 0;
}

int main(int count, char **arguments)
{
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof firmware);
    if (count != 2 || elf_read_firmware(arguments[1], &firmware) != 0) {
        fprintf(stderr, "usage: avr_board sketch.elf\n");
        return 2;
    }
    avr_t *avr = avr_make_mcu_by_name("atmega2560");
    avr_init(avr);
    firmware.frequency = 16000000;
    avr_load_firmware(avr, &firmware);
    line = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(line);
    unlockpt(line);
    const char *name = ptsname(line);
    const int held = open(name, O_RDWR | O_NOCTTY); /* kept open: without a reader the terminal would hang up */
    struct termios raw;
    tcgetattr(held, &raw);
    raw.c_iflag = 0;
    raw.c_oflag = 0;
    raw.c_lflag = 0;
    tcsetattr(held, TCSANOW, &raw);
    fcntl(line, F_SETFL, O_NONBLOCK);
    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), out, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), xon, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), xoff, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    printf("%s\n", name);
    fflush(stdout);
    for (avr_cycle_count_t next = 0;;) {
        const int state = avr_run(avr);
        if (state == cpu_Done || state == cpu_Crashed) {
            return state == cpu_Crashed;
        }
        if (avr->cycle < next) {
            continue;
        }
        next = avr->cycle + CYCLES_AT_ONCE; /* one byte at 115200 baud takes about 1,400 */
        uint8_t byte;
        if (ready && read(line, &byte, 1) == 1) {
            avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT), byte);
        }
    }
}
