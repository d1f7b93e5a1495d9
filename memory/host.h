/*
 * host.h - system calls without libc.
 *
 * Emitted code may have the FS base for itself (kwindow.h), and libc's errno and more is where that points; so
 * whatever may be called from emitted code asks the host's kernel by these.
 */
#ifndef NOVT_MEMORY_HOST_H
#define NOVT_MEMORY_HOST_H

#include <stddef.h>
#include <stdint.h>

/* As mmap, munmap and mprotect: 0, or a negative errno. host_map: `at` is where it is wanted, and where it is if
   that has worked (flags: with MAP_FIXED or MAP_FIXED_NOREPLACE). */
int host_map(void *at, size_t size, int protection, int flags, int fd, uint64_t offset);
/* Memory of zeros, wherever there is room, or NULL. Given back by host_unmap. */
void *host_allocate(size_t size);
int host_unmap(void *at, size_t size);
int host_protect(void *at, size_t size, int protection);
/* Sends a signal to a thread of this process: 0, or a negative errno. */
int host_signal(int thread, int number);
/* Or less, if a signal comes. */
void host_sleep(uint32_t nanoseconds);

#endif
