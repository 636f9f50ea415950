/*
 * The smallest harness that does: counts checks, names those that fail.
 *
 *     int main(void) { RUN(test_this); RUN(test_that); return iv_test_done(); }
 */

#ifndef IV_TEST_H
#define IV_TEST_H

#include <ngx_config.h>
#include <ngx_core.h>

#include <stdio.h>
#include <string.h>


/*
 * -1: allocations succeed; n: the n + 1st from now on and all after it fail.
 * Counts pools' allocations and ngx_alloc()'s alike.
 */
extern int   iv_fail_alloc_after;
/* allocations not yet freed, and what ngx_time() and so on tell */
extern long  iv_allocs;
void iv_set_time(time_t sec, ngx_uint_t msec);


static unsigned     iv_passed;
static unsigned     iv_failed;
static const char  *iv_running = "";


static inline void
iv_check(int ok, const char *file, int line, const char *what)
{
    if (ok) {
        iv_passed++;
        return;
    }

    iv_failed++;
    fprintf(stderr, "%s:%d: %s: failed: %s\n", file, line, iv_running, what);
}


static inline void
iv_check_int(long long got, long long want, const char *file, int line,
    const char *what)
{
    iv_check(got == want, file, line, what);

    if (got != want) {
        fprintf(stderr, "    got %lld, want %lld\n", got, want);
    }
}


static inline void
iv_check_mem(const void *got, size_t gotlen, const void *want, size_t len,
    const char *file, int line, const char *what)
{
    int  ok;

    ok = gotlen == len && (len == 0 || memcmp(got, want, len) == 0);

    iv_check(ok, file, line, what);

    if (!ok) {
        fprintf(stderr, "    got  (%zu) \"%.*s\"\n    want (%zu) \"%.*s\"\n",
                gotlen, (int) gotlen, gotlen ? (const char *) got : "",
                len, (int) len, len ? (const char *) want : "");
    }
}


static inline void
iv_check_str(ngx_str_t got, const char *want, size_t len, const char *file,
    int line, const char *what)
{
    iv_check_mem(got.data, got.len, want, len, file, line, what);
}


static inline int
iv_test_done(void)
{
    printf("%u passed, %u failed\n", iv_passed, iv_failed);
    return iv_failed != 0 || iv_passed == 0;
}


#define OK(cond)                                                              \
    iv_check((cond) ? 1 : 0, __FILE__, __LINE__, #cond)

#define EQ_INT(got, want)                                                     \
    iv_check_int((long long) (got), (long long) (want), __FILE__, __LINE__,   \
                 #got " == " #want)

#define EQ_STR(got, want)                                                     \
    iv_check_str((got), (want), sizeof(want) - 1, __FILE__, __LINE__,         \
                 #got " == " #want)

#define EQ_MEM(got, want, n)                                                  \
    iv_check_mem((got), (n), (want), (n), __FILE__, __LINE__,                 \
                 #got " == " #want)

#define RUN(function)                                                         \
    do {                                                                      \
        iv_running = #function;                                               \
        function();                                                           \
        iv_running = "";                                                      \
    } while (0)


#endif
