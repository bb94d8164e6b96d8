#pragma once
struct device {
    const char *name;
};
extern const struct device the_console;
#define DT_PATH(...) 0
#define DT_CHOSEN(...) 0
#define DEVICE_DT_GET(...) (&the_console)
