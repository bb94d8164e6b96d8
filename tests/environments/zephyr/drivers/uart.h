#pragma once
int uart_poll_in(const struct device *dev, unsigned char *c);
