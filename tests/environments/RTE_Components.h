/* CMSIS: the header that a build tool writes of the components chosen. */
#ifndef RTE_COMPONENTS_H
#define RTE_COMPONENTS_H

#define CMSIS_device_header "cmsis_device.h"

#endif
