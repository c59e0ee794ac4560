/* dice: random numbers of property tests, the same ones for the same seed. The seed is the first argument,
 * else ANTAG_SEED, else the clock's; it is always printed. */
#ifndef TESTS_SUPPORT_DICE_H
#define TESTS_SUPPORT_DICE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t dice_state;

static inline void dice_seed(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("ANTAG_SEED");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    dice_state = given != NULL ? strtoull(given, NULL, 0)
                               : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
    printf("seed %" PRIu64 "\n", dice_state);
    fflush(stdout);
}

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators") */
static inline uint64_t dice(void)
{
    uint64_t z = (dice_state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* 0 .. n - 1 */
static inline size_t dice_below(size_t n)
{
    return (size_t)(dice() % n);
}

#endif
