/* The floor: what this machine allows, written by hand in C without any library around it.
 *
 * The network 10-16-8-1 (ReLU, binary cross-entropy) with the arithmetic of inhabit-core: the same
 * order of every sum, a fused multiply-add at the same places, the same exp. So the results have the
 * same bits, and rivals.py checks that they do. Built by rivals.py with
 *     cc -O3 -march=native -ffp-contract=off -fno-math-errno -shared -fPIC
 * Needs x86-64 with AVX2 and FMA; with AVX-512 all loops are twice as wide. With -Ofast instead of -O3
 * and -ffp-contract=off the compiler may contract and reorder, and divisions and roots are estimates:
 * faster, with other bits from each compiler.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <immintrin.h>
#include <math.h>
#include <numpy/arrayobject.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* ------------------------------------------------------------------------------------- lanes */

#ifdef __AVX512F__
#define W 16
typedef __m512 wide;
#define OP(name) _mm512_##name
INLINE wide where_positive(wide x, wide c) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(c, _mm512_setzero_ps(), _CMP_GT_OQ), x);
}
INLINE wide scale(wide p, wide shift) {
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shift), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
}
#else
#define W 8
typedef __m256 wide;
#define OP(name) _mm256_##name
INLINE wide where_positive(wide x, wide c) {
    return _mm256_and_ps(x, _mm256_cmp_ps(c, _mm256_setzero_ps(), _CMP_GT_OQ));
}
INLINE wide scale(wide p, wide shift) {
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shift), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}
#endif
#define SPLAT OP(set1_ps)
#define LOAD OP(loadu_ps)
#define STORE OP(storeu_ps)
#define FMA OP(fmadd_ps)
#define ADD OP(add_ps)
#define SUB OP(sub_ps)
#define MUL OP(mul_ps)
#define MAX OP(max_ps)
#define MIN OP(min_ps)

#ifdef __FAST_MATH__ /* estimates and a step of Newton: what the same bits cost */
#if W == 16
#define ESTIMATE(name) _mm512_##name##14_ps
#else
#define ESTIMATE(name) _mm256_##name##_ps
#endif
INLINE wide DIV(wide a, wide b) {
    wide r = ESTIMATE(rcp)(b);
    return MUL(a, MUL(r, SUB(SPLAT(2), MUL(b, r))));
}
INLINE wide SQRT(wide x) {
    wide r = ESTIMATE(rsqrt)(MAX(x, SPLAT(1e-36f)));
    return MUL(x, MUL(r, SUB(SPLAT(1.5f), MUL(MUL(SPLAT(0.5f), x), MUL(r, r)))));
}
#else
#define DIV OP(div_ps)
#if W == 16
/* The same bits without the divider, which has the quotient to find: `sqrt16` in rust/core/src/simd.rs. */
INLINE wide SQRT(wide x) {
    __m512i bits = _mm512_castps_si512(x);
    __m512i above = _mm512_sub_epi32(bits, _mm512_castps_si512(SPLAT(0x1p-100f)));
    __mmask16 usual = _mm512_cmplt_epu32_mask(above, _mm512_set1_epi32(0x72000000));
    if (_mm512_mask_test_epi32_mask(~usual, bits, bits)) return _mm512_sqrt_ps(x);
    wide estimate = _mm512_maskz_rsqrt14_ps(usual, x);
    wide root = MUL(x, estimate), half = MUL(SPLAT(0.5f), estimate);
    wide error = _mm512_fnmadd_ps(root, half, SPLAT(0.5f));
    root = FMA(root, error, root);
    half = FMA(half, error, half);
    return FMA(_mm512_fnmadd_ps(root, root, x), half, root);
}
#else
#define SQRT OP(sqrt_ps)
#endif
#endif

INLINE wide sigmoid(wide z) {
    wide x = MIN(MAX(SUB(SPLAT(0), z), SPLAT(-87)), SPLAT(88));
    wide shift = FMA(x, SPLAT(1.44269504f), SPLAT(12582912));
    wide n = SUB(shift, SPLAT(12582912));
    wide r = FMA(n, SPLAT(2.12194440e-4f), FMA(n, SPLAT(-0.693359375f), x));
    wide p = SPLAT(1.9875691e-4f);
    p = FMA(p, r, SPLAT(1.3981999e-3f));
    p = FMA(p, r, SPLAT(8.333452e-3f));
    p = FMA(p, r, SPLAT(4.1665796e-2f));
    p = FMA(p, r, SPLAT(0.16666666f));
    p = FMA(p, r, SPLAT(0.5f));
    p = ADD(FMA(p, MUL(r, r), r), SPLAT(1));
    return DIV(SPLAT(1), ADD(SPLAT(1), scale(p, shift)));
}

/* Prediction minus target; within 2^-26 it is none. */
INLINE wide off_by(wide z, wide y) {
    wide error = SUB(sigmoid(z), y);
    wide size = MAX(error, SUB(SPLAT(0), error));
    return where_positive(error, SUB(size, SPLAT(0x1p-26f)));
}

INLINE void transpose8(__m256 *a) {
    __m256 b[8], c[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) for (int h = 0; h < 2; h++) {
        c[i + 2 * h] = _mm256_shuffle_ps(b[i + h], b[i + h + 2], 0x44);
        c[i + 2 * h + 1] = _mm256_shuffle_ps(b[i + h], b[i + h + 2], 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2f128_ps(c[i], c[i + 4], 0x20);
        a[i + 4] = _mm256_permute2f128_ps(c[i], c[i + 4], 0x31);
    }
}

/* W rows of 8 numbers, `stride` apart, as 8 columns. */
INLINE void columns8(const float *x, size_t stride, wide *out) {
    __m256 low[8];
    UNROLL for (int r = 0; r < 8; r++) low[r] = _mm256_loadu_ps(x + r * stride);
    transpose8(low);
#if W == 16
    __m256 high[8];
    UNROLL for (int r = 0; r < 8; r++) high[r] = _mm256_loadu_ps(x + (r + 8) * stride);
    transpose8(high);
    UNROLL for (int k = 0; k < 8; k++)
        out[k] = _mm512_insertf32x8(_mm512_castps256_ps512(low[k]), high[k], 1);
#else
    UNROLL for (int k = 0; k < 8; k++) out[k] = low[k];
#endif
}

/* -------------------------------------------------------------------------------- parameters */

/* Flat order, and in brackets that of training: first weights by input, all else as it is. */
enum { W1 = 0, B1 = 160, W2 = 176, B2 = 304, W3 = 312, B3 = 320, COUNT = 321, PADDED = 336 };
enum { ROUND = 32 };

static void by_input(const float *flat, float *p) {
    memset(p, 0, PADDED * sizeof *p);
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 10; i++) p[16 * i + k] = flat[10 * k + i];
    memcpy(p + B1, flat + B1, (COUNT - B1) * sizeof *p);
}

static void by_unit(const float *p, float *flat) {
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 10; i++) flat[10 * k + i] = p[16 * i + k];
    memcpy(flat + B1, p + B1, (COUNT - B1) * sizeof *p);
}

static void transpose_w2(const float *p, float *w2t) {
    for (int k = 0; k < 16; k += 8) {
        __m256 a[8];
        UNROLL for (int j = 0; j < 8; j++) a[j] = _mm256_loadu_ps(p + W2 + 16 * j + k);
        transpose8(a);
        UNROLL for (int j = 0; j < 8; j++) _mm256_storeu_ps(w2t + (k + j) * 8, a[j]);
    }
}

/* -------------------------------------------------------------------------------- prediction */

static float single_p[PADDED] __attribute__((aligned(64)));
static float single_w2t[128] __attribute__((aligned(64)));
static float single_flat[PADDED] __attribute__((aligned(64)));

static float predict_one(const float *x) {
    const float *p = single_p;
    float h1[16] __attribute__((aligned(32))), h2[8] __attribute__((aligned(32)));
    __m256 zero = _mm256_setzero_ps();
    __m256 a = _mm256_load_ps(p + B1), b = _mm256_load_ps(p + B1 + 8);
    UNROLL for (int i = 0; i < 10; i++) {
        __m256 xi = _mm256_broadcast_ss(x + i);
        a = _mm256_fmadd_ps(xi, _mm256_load_ps(p + 16 * i), a);
        b = _mm256_fmadd_ps(xi, _mm256_load_ps(p + 16 * i + 8), b);
    }
    _mm256_store_ps(h1, _mm256_max_ps(a, zero));
    _mm256_store_ps(h1 + 8, _mm256_max_ps(b, zero));
    __m256 c = _mm256_load_ps(p + B2);
    UNROLL for (int k = 0; k < 16; k++)
        c = _mm256_fmadd_ps(_mm256_broadcast_ss(h1 + k), _mm256_load_ps(single_w2t + 8 * k), c);
    _mm256_store_ps(h2, _mm256_max_ps(c, zero));
    __m128 z = _mm_set_ss(p[B3]);
    UNROLL for (int j = 0; j < 8; j++) z = _mm_fmadd_ss(_mm_set_ss(h2[j]), _mm_set_ss(p[W3 + j]), z);
    float out[W];
    STORE(out, sigmoid(SPLAT(_mm_cvtss_f32(z))));
    return out[0];
}

static void predict_rows(const float *p, const float *x, float *out, size_t n) {
    size_t s = 0;
    for (; s + W <= n; s += W) {
        wide head[8], tail[8], in[10], h[16];
        columns8(x + 10 * s, 10, head);
        columns8(x + 10 * s + 2, 10, tail);
        UNROLL for (int i = 0; i < 8; i++) in[i] = head[i];
        in[8] = tail[6], in[9] = tail[7];
        UNROLL for (int k = 0; k < 16; k++) {
            wide a = SPLAT(p[B1 + k]);
            UNROLL for (int i = 0; i < 10; i++) a = FMA(in[i], SPLAT(p[10 * k + i]), a);
            h[k] = MAX(a, SPLAT(0));
        }
        wide z = SPLAT(p[B3]);
        UNROLL for (int j = 0; j < 8; j++) {
            wide a = SPLAT(p[B2 + j]);
            UNROLL for (int k = 0; k < 16; k++) a = FMA(h[k], SPLAT(p[W2 + 16 * j + k]), a);
            z = FMA(MAX(a, SPLAT(0)), SPLAT(p[W3 + j]), z);
        }
        STORE(out + s, sigmoid(z));
    }
    for (; s < n; s++) out[s] = predict_one(x + 10 * s);
}

/* ---------------------------------------------------------------------------------- training */

typedef struct {
    int adam;
    double learning_rate, power1, power2;
} optimizer;

typedef struct {
    float rate, scale;
} pace;

static pace next(optimizer *o) {
    if (!o->adam) return (pace){-(float)o->learning_rate, 0};
    o->power1 *= 0.9, o->power2 *= 0.999;
    return (pace){-(float)(o->learning_rate / (1 - o->power1)), (float)(1 / sqrt(1 - o->power2))};
}

INLINE void step(const optimizer *o, pace s, float *p, const float *g, float *m, float *v, size_t n) {
    for (size_t i = 0; i < n; i += W) {
        wide gi = LOAD(g + i);
        if (o->adam) {
            wide mi = FMA(SPLAT(0.9f), LOAD(m + i), MUL(SPLAT(0.1f), gi));
            wide vi = FMA(SPLAT(0.999f), LOAD(v + i), MUL(SPLAT(0.001f), MUL(gi, gi)));
            STORE(m + i, mi), STORE(v + i, vi);
            wide root = FMA(SQRT(vi), SPLAT(s.scale), SPLAT(1e-8f));
            STORE(p + i, FMA(SPLAT(s.rate), DIV(mi, root), LOAD(p + i)));
        } else {
            STORE(p + i, FMA(SPLAT(s.rate), gi, LOAD(p + i)));
        }
    }
}

/* One person: lanes are units, gradients stay in registers over the batch. */
static void train_one(float *flat, const float *X, const float *Y, const uint32_t *order, int n,
                      int epochs, optimizer o) {
    float p[PADDED] __attribute__((aligned(64))), g[PADDED] __attribute__((aligned(64)));
    float m[PADDED] __attribute__((aligned(64))) = {0}, v[PADDED] __attribute__((aligned(64))) = {0};
    float w2t[128] __attribute__((aligned(64))), h1[ROUND][16] __attribute__((aligned(64)));
    float h2[ROUND + W][8] __attribute__((aligned(64))), d2[ROUND][8] __attribute__((aligned(64)));
    float d1[ROUND][16] __attribute__((aligned(64)));
    float d3[ROUND + W] __attribute__((aligned(64))), y[ROUND + W] = {0};
    memset(h2, 0, sizeof h2), memset(g, 0, sizeof g);
    by_input(flat, p);
    transpose_w2(p, w2t);
    for (int e = 0; e < epochs; e++) for (int first = 0; first < n; first += ROUND) {
        const uint32_t *rows = order + (size_t)e * n + first;
        int count = n - first < ROUND ? n - first : ROUND;
        const float *x[ROUND];
        for (int s = 0; s < ROUND; s++) x[s] = X + 10 * (size_t)rows[s < count ? s : count - 1];
        for (int s = 0; s < count; s++) y[s] = Y[rows[s]];
        for (int q = 0; q < 16; q += W) {
            wide w[10], b = LOAD(p + B1 + q);
            UNROLL for (int i = 0; i < 10; i++) w[i] = LOAD(p + 16 * i + q);
            for (int s = 0; s < count; s += 4) {
                wide a[4] = {b, b, b, b};
                UNROLL for (int i = 0; i < 10; i++)
                    UNROLL for (int t = 0; t < 4; t++) a[t] = FMA(SPLAT(x[s + t][i]), w[i], a[t]);
                UNROLL for (int t = 0; t < 4; t++) STORE(h1[s + t] + q, MAX(a[t], SPLAT(0)));
            }
        }
        for (int s = 0; s < count; s += 4) {
            __m256 b = _mm256_loadu_ps(p + B2), a[4] = {b, b, b, b};
            UNROLL for (int k = 0; k < 16; k++) {
                __m256 w = _mm256_loadu_ps(w2t + 8 * k);
                UNROLL for (int t = 0; t < 4; t++)
                    a[t] = _mm256_fmadd_ps(_mm256_broadcast_ss(&h1[s + t][k]), w, a[t]);
            }
            UNROLL for (int t = 0; t < 4; t++)
                _mm256_storeu_ps(h2[s + t], _mm256_max_ps(a[t], _mm256_setzero_ps()));
        }
        for (int s = 0; s < count; s += W) {
            wide h[8], z = SPLAT(p[B3]);
            columns8(h2[s], 8, h);
            UNROLL for (int j = 0; j < 8; j++) z = FMA(h[j], SPLAT(p[W3 + j]), z);
            STORE(d3 + s, MUL(off_by(z, LOAD(y + s)), SPLAT(1.0f / (float)count)));
        }
        __m256 w3 = _mm256_loadu_ps(p + W3), g3 = _mm256_setzero_ps(), gb2 = g3;
        float gb3 = 0;
        for (int s = 0; s < count; s++) {
            __m256 d = _mm256_broadcast_ss(d3 + s), h = _mm256_loadu_ps(h2[s]);
            g3 = _mm256_fmadd_ps(d, h, g3);
            __m256 on = _mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_GT_OQ);
            __m256 slope = _mm256_and_ps(_mm256_mul_ps(d, w3), on);
            gb2 = _mm256_add_ps(gb2, slope);
            _mm256_storeu_ps(d2[s], slope);
            gb3 += d3[s];
        }
        _mm256_storeu_ps(g + W3, g3), _mm256_storeu_ps(g + B2, gb2), g[B3] = gb3;
        for (int q = 0; q < 16; q += W) {
            wide w[8], g1[10], g2[8], gb = SPLAT(0);
            UNROLL for (int j = 0; j < 8; j++) w[j] = LOAD(p + W2 + 16 * j + q), g2[j] = SPLAT(0);
            UNROLL for (int i = 0; i < 10; i++) g1[i] = SPLAT(0);
            for (int s = 0; s < count; s++) {
                wide d = MUL(SPLAT(d2[s][0]), w[0]), h = LOAD(h1[s] + q);
                UNROLL for (int j = 1; j < 8; j++) d = FMA(SPLAT(d2[s][j]), w[j], d);
                d = where_positive(d, h);
                gb = ADD(gb, d);
#if W == 16
                UNROLL for (int j = 0; j < 8; j++) g2[j] = FMA(SPLAT(d2[s][j]), h, g2[j]);
                UNROLL for (int i = 0; i < 10; i++) g1[i] = FMA(SPLAT(x[s][i]), d, g1[i]);
            }
#else /* 16 registers: one layer at a time */
                STORE(d1[s] + q, d);
            }
            for (int s = 0; s < count; s++) {
                wide d = LOAD(d1[s] + q);
                UNROLL for (int i = 0; i < 10; i++) g1[i] = FMA(SPLAT(x[s][i]), d, g1[i]);
            }
            for (int s = 0; s < count; s++) {
                wide h = LOAD(h1[s] + q);
                UNROLL for (int j = 0; j < 8; j++) g2[j] = FMA(SPLAT(d2[s][j]), h, g2[j]);
            }
#endif
            UNROLL for (int i = 0; i < 10; i++) STORE(g + 16 * i + q, g1[i]);
            UNROLL for (int j = 0; j < 8; j++) STORE(g + W2 + 16 * j + q, g2[j]);
            STORE(g + B1 + q, gb);
        }
        step(&o, next(&o), p, g, m, v, PADDED);
        transpose_w2(p, w2t);
    }
    (void)d1;
    by_unit(p, flat);
}

/* W persons with as many samples each: lanes are persons. X [n][10][W], Y [n][W]; flat order. */
enum { BLOCK = 8 };
typedef struct {
    float p[COUNT][W], g[COUNT][W], m[COUNT][W], v[COUNT][W];
    float h1[BLOCK][16][W], h2[BLOCK][8][W], d2[BLOCK][8][W], d1[BLOCK][16][W];
} __attribute__((aligned(64))) people;

#if W == 16
enum { UNITS = 2, AT_ONCE = 8 }; /* 16 sums in 32 registers */
#else
enum { UNITS = 2, AT_ONCE = 4 }; /* 8 in 16 */
#endif

/* out[s][k] = relu(b[k] + sum over i of in[s][i] w[k][i]) */
INLINE void people_layer(const float (*w)[W], const float (*b)[W], const float *const *in, int n_in,
                         float *const *out, int n_out) {
    for (int t = 0; t < BLOCK; t += AT_ONCE) for (int k = 0; k < n_out; k += UNITS) {
        wide a[UNITS][AT_ONCE];
        UNROLL for (int q = 0; q < UNITS; q++)
            UNROLL for (int s = 0; s < AT_ONCE; s++) a[q][s] = LOAD(b[k + q]);
        for (int i = 0; i < n_in; i++) {
            wide wi[UNITS];
            UNROLL for (int q = 0; q < UNITS; q++) wi[q] = LOAD(w[(k + q) * n_in + i]);
            UNROLL for (int s = 0; s < AT_ONCE; s++) {
                wide x = LOAD(in[t + s] + i * W);
                UNROLL for (int q = 0; q < UNITS; q++) a[q][s] = FMA(x, wi[q], a[q][s]);
            }
        }
        UNROLL for (int q = 0; q < UNITS; q++)
            UNROLL for (int s = 0; s < AT_ONCE; s++)
                STORE(out[t + s] + (k + q) * W, MAX(a[q][s], SPLAT(0)));
    }
}

/* g[k][i] += sum over s of d[s][k] in[s][i], in registers over the block */
INLINE void people_weights(float (*g)[W], float *const *d, const float *const *in, int n_in, int n_out,
                           int count) {
    for (int k = 0; k < n_out; k += 4) for (int i = 0; i < n_in; i += 2) {
        wide a[4][2];
        UNROLL for (int q = 0; q < 4; q++)
            UNROLL for (int r = 0; r < 2; r++) a[q][r] = LOAD(g[(k + q) * n_in + i + r]);
        for (int s = 0; s < count; s++) {
            wide x0 = LOAD(in[s] + i * W), x1 = LOAD(in[s] + (i + 1) * W);
            UNROLL for (int q = 0; q < 4; q++) {
                wide e = LOAD(d[s] + (k + q) * W);
                a[q][0] = FMA(e, x0, a[q][0]), a[q][1] = FMA(e, x1, a[q][1]);
            }
        }
        UNROLL for (int q = 0; q < 4; q++)
            UNROLL for (int r = 0; r < 2; r++) STORE(g[(k + q) * n_in + i + r], a[q][r]);
    }
}

static void train_lanes(people *u, const float *X, const float *Y, const uint32_t *order, int n,
                        int epochs, optimizer o) {
    for (int e = 0; e < epochs; e++) for (int first = 0; first < n; first += ROUND) {
        int batch = n - first < ROUND ? n - first : ROUND;
        memset(u->g, 0, sizeof u->g);
        for (int from = 0; from < batch; from += BLOCK) {
            const uint32_t *rows = order + (size_t)e * n + first + from;
            int count = batch - from < BLOCK ? batch - from : BLOCK;
            const float *x[BLOCK];
            float *h1[BLOCK], *h2[BLOCK], *d2[BLOCK], *d1[BLOCK];
            for (int s = 0; s < BLOCK; s++) {
                x[s] = X + (size_t)rows[s < count ? s : count - 1] * 10 * W;
                h1[s] = u->h1[s][0], h2[s] = u->h2[s][0], d2[s] = u->d2[s][0], d1[s] = u->d1[s][0];
            }
            people_layer(u->p + W1, u->p + B1, x, 10, h1, 16);
            people_layer(u->p + W2, u->p + B2, (const float *const *)h1, 16, h2, 8);
            for (int s = 0; s < count; s++) {
                wide z = LOAD(u->p[B3]);
                UNROLL for (int j = 0; j < 8; j++) z = FMA(LOAD(h2[s] + j * W), LOAD(u->p[W3 + j]), z);
                wide d = MUL(off_by(z, LOAD(Y + (size_t)rows[s] * W)), SPLAT(1.0f / (float)batch));
                UNROLL for (int j = 0; j < 8; j++) {
                    wide h = LOAD(h2[s] + j * W);
                    STORE(u->g[W3 + j], FMA(d, h, LOAD(u->g[W3 + j])));
                    wide slope = where_positive(MUL(d, LOAD(u->p[W3 + j])), h);
                    STORE(d2[s] + j * W, slope);
                    STORE(u->g[B2 + j], ADD(LOAD(u->g[B2 + j]), slope));
                }
                STORE(u->g[B3], ADD(LOAD(u->g[B3]), d));
            }
            people_weights(u->g + W2, d2, (const float *const *)h1, 16, 8, count);
            for (int k = 0; k < 16; k += 2) for (int t = 0; t < count; t += 4) {
                wide a[2][4];
                UNROLL for (int q = 0; q < 2; q++) UNROLL for (int s = 0; s < 4; s++)
                    a[q][s] = MUL(LOAD(d2[t + s]), LOAD(u->p[W2 + k + q]));
                for (int j = 1; j < 8; j++) {
                    wide w0 = LOAD(u->p[W2 + 16 * j + k]), w1 = LOAD(u->p[W2 + 16 * j + k + 1]);
                    UNROLL for (int s = 0; s < 4; s++) {
                        wide d = LOAD(d2[t + s] + j * W);
                        a[0][s] = FMA(d, w0, a[0][s]), a[1][s] = FMA(d, w1, a[1][s]);
                    }
                }
                UNROLL for (int q = 0; q < 2; q++) {
                    wide gb = LOAD(u->g[B1 + k + q]);
                    for (int s = 0; s < 4 && t + s < count; s++) {
                        wide d = where_positive(a[q][s], LOAD(h1[t + s] + (k + q) * W));
                        STORE(d1[t + s] + (k + q) * W, d);
                        gb = ADD(gb, d);
                    }
                    STORE(u->g[B1 + k + q], gb);
                }
            }
            people_weights(u->g + W1, d1, x, 10, 16, count);
        }
        step(&o, next(&o), u->p[0], u->g[0], u->m[0], u->v[0], (size_t)COUNT * W);
    }
}

/* ------------------------------------------------------------------------------------ Python */

static PyObject *py_predict(PyObject *self, PyObject *x) {
    PyArrayObject *a = (PyArrayObject *)x;
    if (!PyArray_CheckExact(x) || PyArray_TYPE(a) != NPY_FLOAT || PyArray_NDIM(a) != 1 ||
        PyArray_DIM(a, 0) != 10 || PyArray_STRIDE(a, 0) != 4)
        return PyErr_Format(PyExc_ValueError, "expected ten float32");
    return PyFloat_FromDouble(predict_one(PyArray_DATA(a)));
}

static PyObject *py_predict_list(PyObject *self, PyObject *list) {
    float x[10];
    if (!PyList_CheckExact(list) || PyList_GET_SIZE(list) != 10)
        return PyErr_Format(PyExc_ValueError, "expected a list of ten floats");
    for (int i = 0; i < 10; i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        x[i] = (float)(PyFloat_CheckExact(item) ? PyFloat_AS_DOUBLE(item) : PyFloat_AsDouble(item));
    }
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(predict_one(x));
}

static PyObject *py_set(PyObject *self, PyObject *flat) {
    memcpy(single_flat, PyArray_DATA((PyArrayObject *)flat), COUNT * sizeof(float));
    by_input(single_flat, single_p);
    transpose_w2(single_p, single_w2t);
    Py_RETURN_NONE;
}

static PyObject *py_predict_many(PyObject *self, PyObject *args) {
    PyArrayObject *x, *out;
    if (!PyArg_ParseTuple(args, "O!O!", &PyArray_Type, &x, &PyArray_Type, &out)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    predict_rows(single_flat, PyArray_DATA(x), PyArray_DATA(out), (size_t)PyArray_DIM(x, 0));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* train(flat, X, y, order [epochs, n], adam, learning_rate), in place */
static PyObject *py_train(PyObject *self, PyObject *args) {
    PyArrayObject *flat, *x, *y, *order;
    optimizer o = {.power1 = 1, .power2 = 1};
    if (!PyArg_ParseTuple(args, "O!O!O!O!id", &PyArray_Type, &flat, &PyArray_Type, &x, &PyArray_Type, &y,
                          &PyArray_Type, &order, &o.adam, &o.learning_rate))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    train_one(PyArray_DATA(flat), PyArray_DATA(x), PyArray_DATA(y), PyArray_DATA(order),
              (int)PyArray_DIM(x, 0), (int)PyArray_DIM(order, 0), o);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* train_people(flat [n_people, 321], X [n_people, n, 10], y [n_people, n], order, adam, rate): packs,
 * trains W at a time and unpacks; n_people is a multiple of W. */
static PyObject *py_train_people(PyObject *self, PyObject *args) {
    PyArrayObject *flat, *x, *y, *order;
    optimizer o = {.power1 = 1, .power2 = 1};
    if (!PyArg_ParseTuple(args, "O!O!O!O!id", &PyArray_Type, &flat, &PyArray_Type, &x, &PyArray_Type, &y,
                          &PyArray_Type, &order, &o.adam, &o.learning_rate))
        return NULL;
    size_t count = (size_t)PyArray_DIM(x, 0), n = (size_t)PyArray_DIM(x, 1);
    float *f = PyArray_DATA(flat);
    const float *xs = PyArray_DATA(x), *ys = PyArray_DATA(y);
    Py_BEGIN_ALLOW_THREADS
    people *u = aligned_alloc(64, sizeof *u);
    float *xl = aligned_alloc(64, n * 10 * W * sizeof(float)), *yl = aligned_alloc(64, n * W * sizeof(float));
    for (size_t group = 0; group + W <= count; group += W) {
        memset(u, 0, sizeof *u);
        for (int l = 0; l < W; l++) {
            for (size_t i = 0; i < COUNT; i++) u->p[i][l] = f[(group + l) * COUNT + i];
            for (size_t i = 0; i < n * 10; i++) xl[i * W + l] = xs[(group + l) * n * 10 + i];
            for (size_t i = 0; i < n; i++) yl[i * W + l] = ys[(group + l) * n + i];
        }
        train_lanes(u, xl, yl, PyArray_DATA(order), (int)n, (int)PyArray_DIM(order, 0), o);
        for (int l = 0; l < W; l++)
            for (size_t i = 0; i < COUNT; i++) f[(group + l) * COUNT + i] = u->p[i][l];
    }
    free(u), free(xl), free(yl);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"set", py_set, METH_O, "set(flat): the parameters of the predictions"},
    {"predict", py_predict, METH_O, "predict(x): from a float32 array"},
    {"predict_list", py_predict_list, METH_O, "predict_list(x): from a list of floats"},
    {"predict_many", py_predict_many, METH_VARARGS, "predict_many(X, out)"},
    {"train", py_train, METH_VARARGS, "train(flat, X, y, order, adam, learning_rate)"},
    {"train_people", py_train_people, METH_VARARGS, "train_people(flat, X, y, order, adam, learning_rate)"},
    {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "limit", 0, -1, methods};

PyMODINIT_FUNC PyInit_limit(void) {
    import_array();
    PyObject *m = PyModule_Create(&module);
    if (m && PyModule_AddIntConstant(m, "LANES", W)) Py_CLEAR(m);
    return m;
}
