#pragma once
#include <stddef.h>
#include <stdint.h>
#define A0 14
int analogRead(uint8_t pin);
unsigned long millis(void);
struct Stream {
    void begin(unsigned long baud);
    int available();
    int read();
    size_t println(const char *text);
};
extern Stream Serial;
void setup();
void loop();
