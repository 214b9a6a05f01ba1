// What all kernels share: lanes, sums in a fixed order, the exponential function.
//
// The kernels of drawing compute what the loops of this crate compute, operation by operation: the same chains of fused multiply-adds, the
// same sixteen lanes, the same tree that folds them, the same polynomials for e^x and the logarithm. So a row's numbers have the bits that the CPU
// gives them, and the tolerance of every such kernel is zero. It rests on IEEE division and square root, on no contraction of a
// product and a sum that are written apart, and on denormal numbers being kept: never compile with fast mathematics.
//
// The kernels of training (`learn_*.cu`) compute formulas within rounding, their sums in a fixed order too.
//
// The sources come one after the other, this one first: for a GPU as two programs of CUDA C++, drawing and training, for the emulator as one of
// C++. They include nothing and use of CUDA only blocks, threads, static shared memory and `__syncthreads`, which every thread of a block
// must reach. Rows of drawing are padded with zeros to whole panels of 32 numbers; strides count them.

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// Lanes that sums run in; positions in a block of keys and values; outputs in a panel of weights.
constexpr u32 LANES = 16;
constexpr u32 BLOCK = 16;
constexpr u32 PANEL = 32;

// The least f32: what stands for a score that does not count.
constexpr float LEAST = -3.40282346638528859812e+38f;

// Where a number stands in IEEE's total order, as Rust's `total_cmp` has it: what is no number has a place too.
__device__ inline u32 place_of(float x) {
    u32 bits = __float_as_uint(x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ inline float larger(float a, float b) { return a < b ? b : a; }

// The sum of sixteen lanes, folded in halves.
__device__ inline float total(const float *lanes) {
    float a[LANES];
    for (u32 i = 0; i < LANES; i++) a[i] = lanes[i];
    for (u32 half = LANES / 2; half > 0; half /= 2)
        for (u32 i = 0; i < half; i++) a[i] = a[i] + a[i + half];
    return a[0];
}

// e^x within 2 units in the last place; 0 below about -87.7, held at e^88.
__device__ inline float exp_lane(float x) {
    const float round = 12583039.0f; // 1.5 * 2^23 + 127: leaves the rounded integer, with the exponent bias, in the low bits
    x = fminf(fmaxf(x, -88.0f), 88.0f);
    float shifted = fmaf(x, 1.44269504f, round);
    float n = shifted - round;
    float r = fmaf(n, -0.6933594f, x);
    r = fmaf(n, 2.1219444e-4f, r);
    float p = 1.9875691e-4f;
    p = fmaf(p, r, 1.3981999e-3f);
    p = fmaf(p, r, 8.333452e-3f);
    p = fmaf(p, r, 4.1665796e-2f);
    p = fmaf(p, r, 1.6666665e-1f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r * r, r) + 1.0f;
    return p * __uint_as_float(__float_as_uint(shifted) << 23);
}

// e^x and the natural logarithm in f64, within 2 units in the last place, from IEEE operations alone: `wide.rs` has the same ones. An
// exponential is held at e^700 and e^-700; a logarithm is taken of normal numbers above 0.
__device__ inline double exp_wide(double x) {
    if (x != x) return x;
    x = fmin(fmax(x, -700.0), 700.0);
    double shifted = fma(x, 1.4426950408889634, 6755399441055744.0); // 1.5 * 2^52: leaves the rounded integer in the low bits
    double n = shifted - 6755399441055744.0;
    double r = fma(n, -1.9082149292705877e-10, fma(n, -0.6931471803691238, x));
    double p = 1.0;
    for (u32 i = 14; i > 0; i--) p = fma(p, r / (double)i, 1.0);
    return p * __longlong_as_double((long long)((u64)((long long)n + 1023) << 52));
}

__device__ inline double log_wide(double x) {
    u64 bits = (u64)__double_as_longlong(x);
    double n = (double)((long long)(bits >> 52) - 1023);
    double m = __longlong_as_double((long long)((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull));
    if (m > 1.4142135623730951) {
        m = m * 0.5;
        n = n + 1.0;
    }
    double s = (m - 1.0) / (m + 1.0), q = s * s, sum = 0.0;
    for (u32 i = 21; i > 1; i -= 2) sum = fma(sum, q, 1.0 / (double)i);
    double tail = fma(2.0 * s, sum * q, n * 1.9082149292705877e-10);
    return fma(n, 0.6931471803691238, tail + 2.0 * s);
}

// cap * tanh(x / cap).
__device__ inline float soft_capped(float x, float cap) {
    float grown = exp_lane(x * (2.0f / cap));
    return cap - (2.0f * cap) / (grown + 1.0f);
}

// The share of the normal distribution that is further out than `size` on either side: Abramowitz and Stegun 7.1.26.
__device__ inline float normal_tails(float size) {
    float t = 1.0f / (1.0f + size * (0.3275911f * 0.707106781f));
    float tail = 1.0614054f;
    tail = fmaf(tail, t, -1.453152f);
    tail = fmaf(tail, t, 1.4214137f);
    tail = fmaf(tail, t, -0.28449674f);
    tail = fmaf(tail, t, 0.2548296f);
    float bell = exp_lane((size * size) * -0.5f);
    return (tail * t) * bell;
}

// A weight as it is kept: f32, the upper half of an f32, or 8 bits whose scale comes later.
__device__ inline float widen(float w) { return w; }
__device__ inline float widen(u16 w) { return __uint_as_float((u32)w << 16); }
__device__ inline float widen(i8 w) { return (float)w; }

// Four neighbouring numbers, read and written at once.
template <typename W> struct alignas(4 * sizeof(W)) Four {
    W of[4];
};

template <typename W> __device__ inline Four<float> widen(Four<W> w) {
    return {{widen(w.of[0]), widen(w.of[1]), widen(w.of[2]), widen(w.of[3])}};
}

__device__ inline void add_products(Four<float> &sums, float x, const Four<float> &w) {
    for (u32 c = 0; c < 4; c++) sums.of[c] = fmaf(x, w.of[c], sums.of[c]);
}

// The softmax of `width` numbers, a multiple of the lanes, in place. All threads of the block call it; `lanes` is shared scratch.
__device__ inline void softmax_row(float *row, u32 width, float *lanes) {
    float top = LEAST;
    for (u32 i = 0; i < width; i++) top = larger(top, row[i]);
    __syncthreads();
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) row[i] = exp_lane(row[i] - top);
    __syncthreads();
    if (threadIdx.x < LANES) {
        float sum = 0.0f;
        for (u32 i = threadIdx.x; i < width; i += LANES) sum = sum + row[i];
        lanes[threadIdx.x] = sum;
    }
    __syncthreads();
    float sum = total(lanes);
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) row[i] = row[i] / sum;
    __syncthreads();
}
