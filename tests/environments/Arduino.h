#pragma once
#include <stddef.h>
#include <stdint.h>
#define A0 14
int analogRead(uint8_t pin);
unsigned long millis(void);
unsigned long micros(void);
struct Stream {
    void begin(unsigned long baud);
    int available();
    int read();
    size_t println(const char *text);
    size_t write(uint8_t byte);
    operator bool();
};
extern Stream Serial;
void setup();
void loop();
