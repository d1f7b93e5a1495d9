/* float.c - compute benchmarks of floating point and SIMD. */
#include <immintrin.h>
#include <math.h>

#include "bench.h"

/* --- N bodies: the Sun and the four large planets, double precision (AU, years, solar masses) --- */
#define BODIES 5
#define NBODY_STEPS 20000

struct body {
    double p[3], v[3], mass;
};

static const double nbody_days = 365.24;

static void nbody_start(struct body b[BODIES])
{
    static const double planet[4][7] = {
        {4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01, 1.66007664274403694e-03,
         7.69901118419740425e-03, -6.90460016972063023e-05, 9.54791938424326609e-04},
        {8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01, -2.76742510726411899e-03,
         4.99852801234917238e-03, 2.30417297573763929e-05, 2.85885980666130812e-04},
        {1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01, 2.96460137564761618e-03,
         2.37847173959480950e-03, -2.96589568540237556e-05, 4.36624404335156298e-05},
        {1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01, 2.68067772490389322e-03,
         1.62824170038242295e-03, -9.51592254519715870e-05, 5.15138902046611451e-05},
    };
    const double sun = 4 * M_PI * M_PI;

    b[0] = (struct body){{0, 0, 0}, {0, 0, 0}, sun};
    for (int i = 1; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) {
            b[i].p[k] = planet[i - 1][k];
            b[i].v[k] = planet[i - 1][3 + k] * nbody_days;
        }
        b[i].mass = planet[i - 1][6] * sun;
        for (int k = 0; k < 3; k++)
            b[0].v[k] -= b[i].v[k] * b[i].mass / sun;
    }
}

static NOINLINE void nbody_advance(struct body b[BODIES], double step)
{
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++) {
            double d[3], square = 0, pull;

            for (int k = 0; k < 3; k++) {
                d[k] = b[i].p[k] - b[j].p[k];
                square += d[k] * d[k];
            }
            pull = step / (square * sqrt(square));
            for (int k = 0; k < 3; k++) {
                b[i].v[k] -= d[k] * b[j].mass * pull;
                b[j].v[k] += d[k] * b[i].mass * pull;
            }
        }
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++)
            b[i].p[k] += step * b[i].v[k];
}

static double nbody_energy(const struct body b[BODIES])
{
    double e = 0;

    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++)
            e += 0.5 * b[i].mass * b[i].v[k] * b[i].v[k];
        for (int j = i + 1; j < BODIES; j++) {
            double square = 0;

            for (int k = 0; k < 3; k++)
                square += (b[i].p[k] - b[j].p[k]) * (b[i].p[k] - b[j].p[k]);
            e -= b[i].mass * b[j].mass / sqrt(square);
        }
    }
    return e;
}

static uint64_t nbody(void)
{
    struct body b[BODIES];
    double before;

    nbody_start(b);
    before = nbody_energy(b);
    for (int i = 0; i < NBODY_STEPS; i++)
        nbody_advance(b, 0.01);
    /* Published for this system: -0.169075164 at the start; the integrator keeps it within 1e-4. */
    if (fabs(before + 0.169075164) > 1e-8 || fabs(nbody_energy(b) - before) > 1e-4)
        return 0;
    return NBODY_STEPS;
}

/* --- product of two matrices whose product is known: (i + k) times (k - j) summed over k --- */
#define MATRIX 128

static uint64_t matmul(void)
{
    static double a[MATRIX][MATRIX], b[MATRIX][MATRIX], c[MATRIX][MATRIX];
    const double s1 = (MATRIX - 1.0) * MATRIX / 2, s2 = (MATRIX - 1.0) * MATRIX * (2.0 * MATRIX - 1) / 6;

    for (int i = 0; i < MATRIX; i++)
        for (int k = 0; k < MATRIX; k++) {
            a[i][k] = i + k;
            b[i][k] = i - k;
            c[i][k] = 0;
        }
    for (int i = 0; i < MATRIX; i++)
        for (int k = 0; k < MATRIX; k++)
            for (int j = 0; j < MATRIX; j++)
                c[i][j] += a[i][k] * b[k][j];
    for (int i = 0; i < MATRIX; i++)
        for (int j = 0; j < MATRIX; j++)
            if (c[i][j] != s2 + (i - j) * s1 - (double)MATRIX * i * j)
                return 0;
    return (uint64_t)MATRIX * MATRIX * MATRIX;
}

/* --- x87: the alternating series for pi in extended precision --- */
static uint64_t x87(void)
{
    enum { TERMS = 1000000 };
    long double sum = 0, sign = 4;

    for (int i = 0; i < TERMS; i++) {
        sum += sign / (2 * i + 1);
        sign = -sign;
    }
    return fabsl(sum - 3.14159165358979318525L) < 1e-15L ? TERMS : 0;
}

/* --- AVX2 integers: a checksum over an array, against the same sum done in scalar code --- */
#define VECTOR_WORDS 16384

static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

__attribute__((target("avx2"))) static NOINLINE uint32_t vector_sum(const uint32_t *word)
{
    __m256i sum = _mm256_setzero_si256(), factor = _mm256_set1_epi32((int)2654435761u);
    uint32_t lane[8], result = 0;

    for (int i = 0; i < VECTOR_WORDS; i += 8) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(word + i));

        v = _mm256_mullo_epi32(_mm256_xor_si256(v, _mm256_srli_epi32(v, 15)), factor);
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(v, 0x1b));
    }
    _mm256_storeu_si256((__m256i *)(void *)lane, sum);
    for (int i = 0; i < 8; i++)
        result += lane[i];
    return result;
}

static uint64_t avx2(void)
{
    enum { ROUNDS = 3000 };
    static uint32_t word[VECTOR_WORDS];
    uint32_t expected = 0;

    for (uint32_t i = 0; i < VECTOR_WORDS; i++) {
        word[i] = i * 1664525u + 1013904223u;
        expected += (word[i] ^ word[i] >> 15) * 2654435761u;
    }
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t *from = word;

        KEEP(from);
        if (vector_sum(from) != expected)
            return 0;
    }
    return (uint64_t)ROUNDS * VECTOR_WORDS;
}

const struct bench bench_float[] = {
    {"nbody", "compute", nbody, 200, NULL},
    {"matmul", "compute", matmul, 600, NULL},
    {"x87", "compute", x87, 120, NULL},
    {"avx2", "compute", avx2, 60, has_avx2},
    {NULL, NULL, NULL, 0, NULL},
};
