/*
 * guard.c - the code cache's writable view is closed but between guard_open and guard_close, where the host has
 * protection keys.
 */
#include "cache/guard.h"

#include <criterion/criterion.h>
#include <setjmp.h>
#include <signal.h>

#define CODE_SIZE (1u << 20)

static struct cache cache;
static sigjmp_buf back;

static void create(void)
{
    cr_assert_eq(cache_create(&cache, CODE_SIZE, 16), 0);
    cache.write_view[0] = 1;
    guard_begin(&cache);
    if (!cache.key)
        cr_skip_test("the host has no protection keys");
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    siglongjmp(back, info->si_code == SEGV_PKUERR ? 2 : 1);
}

/* Does an access to the byte fault for the key's sake? Leaving a handler by siglongjmp keeps its rights, which are
   none. */
static bool is_closed(volatile uint8_t *at, bool write)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    int jumped;

    sigaction(SIGSEGV, &action, NULL);
    jumped = sigsetjmp(back, 1);
    if (!jumped) {
        if (write)
            *at = 3;
        else
            (void)*at;
    }
    signal(SIGSEGV, SIG_DFL);
    cr_assert_neq(jumped, 1, "another fault");
    return jumped == 2;
}

Test(guard, closed)
{
    create();
    cr_assert(is_closed(cache.write_view, true));
    cr_assert(is_closed(cache.write_view + CODE_SIZE - 1, true));
    cr_assert(is_closed(cache.write_view, false));
    cr_assert_eq(cache.execute_view[0], 1);
    cache_destroy(&cache);
}

Test(guard, nests)
{
    uint32_t outer, inner;

    create();
    outer = guard_open(&cache);
    inner = guard_open(&cache);
    cache.write_view[0] = 5;
    guard_close(&cache, inner);
    cache.write_view[1] = 6;
    guard_close(&cache, outer);
    cr_assert_eq(cache.execute_view[0] + cache.execute_view[1], 11);
    cr_assert(is_closed(cache.write_view, true));
    cache_destroy(&cache);
    cr_assert_eq(cache.key, 0);
}

static uint8_t seen_open, seen_closed;

static void on_user(int number)
{
    uint32_t rights = guard_open(&cache);

    (void)number;
    seen_open = cache.write_view[0];
    guard_close(&cache, rights);
    seen_closed = is_closed(cache.write_view, true);
}

/* A signal's handler has no rights, whatever it interrupts, and can take them; and it gives back what was. */
Test(guard, in_a_handler)
{
    uint32_t rights;

    create();
    signal(SIGUSR1, on_user);
    rights = guard_open(&cache);
    raise(SIGUSR1);
    cr_assert_eq(seen_open, 1);
    cr_assert(seen_closed);
    cache.write_view[0] = 7;
    guard_close(&cache, rights);
    cr_assert_eq(cache.execute_view[0], 7);
}
