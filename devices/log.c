/*
 * log.c - formats a line for the machine's log.
 *
 * Interface: device_log. Lines are cut at 255 bytes.
 */
#include <stdarg.h>
#include <stdio.h>

#include "devices/log.h"

void device_log(const struct device_log *log, const char *topic, const char *format, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap); /* NOLINT(clang-analyzer-valist.Uninitialized): it is */
    va_end(ap);
    if (log->line)
        log->line(log->opaque, topic, text);
}
