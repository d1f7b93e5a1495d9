/*
 * log.h - how devices say something about the guest: one line under a topic of -d.
 *
 * Topics used: "unimp" (touches what novt does not have), "guest_errors" (does what real hardware would
 * not like). Guests can repeat both at will, so callers log each thing once or rarely.
 */
#ifndef NOVT_DEVICES_LOG_H
#define NOVT_DEVICES_LOG_H

struct device_log {
    void (*line)(void *opaque, const char *topic, const char *text); /* may be NULL */
    void *opaque;
};

void device_log(const struct device_log *log, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
