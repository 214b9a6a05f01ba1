// The small loops of training between products, and their gradients. Matrices are row-major and not padded.
//
// A row is shared out to a group of threads that sum by a tree: 32 threads where a block has four rows, the whole block where rows are a
// vocabulary wide. Groups beyond the last row sum nothing and write nothing, but reach each barrier. Sums over rows are f64.

// A kernel whose blocks have 256 threads, all of which a multiprocessor has registers for.
#define WIDE_KERNEL extern "C" __global__ void __launch_bounds__(256)

// Threads of a row, and rows of a block of 128.
constexpr u32 ROW_THREADS = 32;
constexpr u32 BLOCK_ROWS = 4;

// The sum of what the threads of each group of WIDTH hold, on all of them. `shared` has a number for each thread of the block.
template <u32 WIDTH, typename T> __device__ inline T group_total(T x, T *shared) {
    u32 t = threadIdx.x, lane = t % WIDTH;
    __syncthreads();
    shared[t] = x;
    __syncthreads();
    for (u32 half = WIDTH / 2; half > 0; half /= 2) {
        if (lane < half) shared[t] = shared[t] + shared[t + half];
        __syncthreads();
    }
    return shared[t - lane];
}

// The same with the largest.
template <u32 WIDTH> __device__ inline float group_top(float x, float *shared) {
    u32 t = threadIdx.x, lane = t % WIDTH;
    __syncthreads();
    shared[t] = x;
    __syncthreads();
    for (u32 half = WIDTH / 2; half > 0; half /= 2) {
        if (lane < half) shared[t] = larger(shared[t], shared[t + half]);
        __syncthreads();
    }
    return shared[t - lane];
}

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + exp_lane(0.0f - x)); }

// The share that is below x.
__device__ inline float normal_share(float x) {
    float tail = 0.5f * normal_tails(larger(x, 0.0f - x));
    return x < 0.0f ? tail : 1.0f - tail;
}

// The slope of a soft cap where it gives `y`.
__device__ inline float soft_cap_slope(float y, float cap) { return 1.0f - (y / cap) * (y / cap); }

// out = a + b for `count` numbers.
extern "C" __global__ void sum_numbers(const float *a, const float *b, u64 count, float *out) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = b ? a[i] + b[i] : a[i];
}

// out = w x r with r = 1 / sqrt(mean(x²) + eps). Four rows a block.
extern "C" __global__ void norm_rows(const float *x, const float *weight, u32 rows, u32 width, float eps, float *out) {
    __shared__ float shared[ROW_THREADS * BLOCK_ROWS];
    u64 row = (u64)blockIdx.x * BLOCK_ROWS + threadIdx.x / ROW_THREADS;
    u32 lane = threadIdx.x % ROW_THREADS, end = row < rows ? width : 0;
    float squares = 0.0f;
    for (u32 i = lane; i < end; i += ROW_THREADS) squares = fmaf(x[row * width + i], x[row * width + i], squares);
    float r = 1.0f / sqrtf(group_total<ROW_THREADS>(squares, shared) / (float)width + eps);
    for (u32 i = lane; i < end; i += ROW_THREADS) out[row * width + i] = weight[i] * (x[row * width + i] * r);
}

// dx = r w dy - x r³ / width sum(w dy x), and the r of each row. Four rows a block.
extern "C" __global__ void norm_rows_back(const float *x, const float *weight, const float *dy, u32 rows, u32 width, float eps, float *factors,
                                          float *dx) {
    __shared__ float shared[ROW_THREADS * BLOCK_ROWS];
    u64 row = (u64)blockIdx.x * BLOCK_ROWS + threadIdx.x / ROW_THREADS;
    u32 lane = threadIdx.x % ROW_THREADS, end = row < rows ? width : 0;
    float squares = 0.0f, products = 0.0f;
    for (u32 i = lane; i < end; i += ROW_THREADS) {
        u64 at = row * width + i;
        squares = fmaf(x[at], x[at], squares);
        products = fmaf(dy[at] * weight[i], x[at], products);
    }
    float r = 1.0f / sqrtf(group_total<ROW_THREADS>(squares, shared) / (float)width + eps);
    float along = group_total<ROW_THREADS>(products, shared) * r * r * r / (float)width;
    for (u32 i = lane; i < end; i += ROW_THREADS) {
        u64 at = row * width + i;
        dx[at] = dy[at] * weight[i] * r - x[at] * along;
    }
    if (end > 0 && lane == 0) factors[row] = r;
}

// What a chunk of `chunk` rows adds to dw: partial[chunk][i] = sum(dy x r). A block has 128 columns (x) of a chunk (y).
extern "C" __global__ void norm_weight_back(const float *x, const float *dy, const float *factors, u32 rows, u32 width, u32 chunk, double *partial) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    double sum = 0.0;
    for (u32 row = blockIdx.y * chunk; row < rows && row < (blockIdx.y + 1) * chunk; row++)
        sum += (double)(dy[(u64)row * width + i] * (x[(u64)row * width + i] * factors[row]));
    partial[(u64)blockIdx.y * width + i] = sum;
}

// out[i] = sum of partial[chunk][i] over all chunks.
extern "C" __global__ void sum_chunks(const double *partial, u32 chunks, u32 width, float *out) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    double sum = 0.0;
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += partial[(u64)chunk * width + i];
    out[i] = (float)sum;
}

// The gradient of a(g) u with a(g) = g s(g), a row of x and dx being `width` g, then `width` u; `activation` as in `gate`. One block a row.
extern "C" __global__ void gate_back(const float *x, const float *dy, u32 activation, u32 width, float *dx) {
    const float root = 2.0f * sqrtf(2.0f / 3.14159274f), cube = 0.044715f;
    u64 row = blockIdx.x;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        u64 at = row * 2 * width + i;
        float d = dy[row * width + i], g = x[at], u = x[at + width], s, slope;
        if (activation == 0) {
            s = sigmoid(g);
            slope = s * (1.0f + g * (1.0f - s));
        } else if (activation == 1) {
            float square = g * g;
            s = sigmoid(g * fmaf(square, cube * root, root));
            slope = s * (1.0f + g * (1.0f - s) * fmaf(square, 3.0f * cube * root, root));
        } else {
            s = normal_share(g);
            slope = fmaf(g, exp_lane(g * g * -0.5f) * 0.398942280f, s);
        }
        dx[at] = d * u * slope;
        dx[at + width] = d * g * s;
    }
}

// dx = dy times the slope of cap * tanh(x / cap), for `count` numbers.
extern "C" __global__ void soft_cap_back(const float *x, const float *dy, float cap, u64 count, float *dx) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) dx[i] = dy[i] * soft_cap_slope(soft_capped(x[i], cap), cap);
}

// out = x held between -most and most, or where `from` is there, its number where x is between them and else 0; for `count` numbers.
extern "C" __global__ void clip_numbers(const float *x, const float *from, float most, u64 count, float *out) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float near = x[i] > most ? most : x[i] < 0.0f - most ? 0.0f - most : x[i];
    out[i] = from ? (near == x[i] ? from[i] : 0.0f) : near;
}

// dx[r] = sum of dy[order[i]] for i from starts[r] to starts[r + 1]. One block a row of dx.
extern "C" __global__ void scatter_rows(const float *dy, const u32 *starts, const u32 *order, u32 width, float *dx) {
    u32 from = starts[blockIdx.x], to = starts[blockIdx.x + 1];
    for (u32 column = threadIdx.x; column < width; column += blockDim.x) {
        double sum = 0.0;
        for (u32 i = from; i < to; i++) sum += (double)dy[(u64)order[i] * width + column];
        dx[(u64)blockIdx.x * width + column] = (float)sum;
    }
}

// out[r] = factors[r] x[r]. One block a row.
extern "C" __global__ void scale_rows(const float *x, const float *factors, u32 width, float *out) {
    u64 row = blockIdx.x;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) out[row * width + i] = factors[row] * x[row * width + i];
}

// out[r] = sum(a[r] b[r]). Four rows a block.
extern "C" __global__ void dot_rows(const float *a, const float *b, u32 rows, u32 width, float *out) {
    __shared__ float shared[ROW_THREADS * BLOCK_ROWS];
    u64 row = (u64)blockIdx.x * BLOCK_ROWS + threadIdx.x / ROW_THREADS;
    u32 lane = threadIdx.x % ROW_THREADS, end = row < rows ? width : 0;
    float products = 0.0f;
    for (u32 i = lane; i < end; i += ROW_THREADS) products = fmaf(a[row * width + i], b[row * width + i], products);
    float sum = group_total<ROW_THREADS>(products, shared);
    if (row < rows && lane == 0) out[row] = sum;
}

// out[n] = sum of weights[v] x[row_of[v]] over the visits v of token n, from ends[n - 1] to ends[n]. One block a token.
extern "C" __global__ void mix_rows(const float *x, const float *weights, const u32 *ends, const u32 *row_of, u32 width, float *out) {
    u32 n = blockIdx.x, from = n > 0 ? ends[n - 1] : 0, to = ends[n];
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = 0.0f;
        for (u32 v = from; v < to; v++) sum = fmaf(weights[v], x[(u64)row_of[v] * width + i], sum);
        out[(u64)n * width + i] = sum;
    }
}

// dx[row_of[v]] = weights[v] dy[token_of[v]], dw[v] = sum(x[row_of[v]] dy[token_of[v]]). Four visits a block.
extern "C" __global__ void mix_rows_back(const float *x, const float *weights, const u32 *token_of, const u32 *row_of, u32 visits, u32 width,
                                         const float *dy, float *dx, float *dw) {
    __shared__ float shared[ROW_THREADS * BLOCK_ROWS];
    u32 v = blockIdx.x * BLOCK_ROWS + threadIdx.x / ROW_THREADS, lane = threadIdx.x % ROW_THREADS;
    float products = 0.0f;
    if (v < visits) {
        u64 from = (u64)token_of[v] * width, to = (u64)row_of[v] * width;
        for (u32 i = lane; i < width; i += ROW_THREADS) {
            products = fmaf(x[to + i], dy[from + i], products);
            dx[to + i] = weights[v] * dy[from + i];
        }
    }
    float sum = group_total<ROW_THREADS>(products, shared);
    if (v < visits && lane == 0) dw[v] = sum;
}

// Makes each row of logits its softmax p, and tells the logarithm of p[targets[r]]. One block of 256 threads a row.
extern "C" __global__ void predict_rows(float *logits, const u32 *targets, u32 width, float *log_probabilities) {
    __shared__ float shared[256];
    float *row = logits + (u64)blockIdx.x * width;
    float target = row[targets[blockIdx.x]], top = LEAST, sum = 0.0f;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) top = larger(top, row[i]);
    top = group_top<256>(top, shared);
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        row[i] = exp_lane(row[i] - top);
        sum += row[i];
    }
    float total = group_total<256>(sum, shared), inverse = 1.0f / total;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) row[i] *= inverse;
    if (threadIdx.x == 0) log_probabilities[blockIdx.x] = (float)((double)(target - top) - log_wide((double)total));
}

// Makes p its gradient: p[r] = factors[r] (p[r] - one(targets[r])). One block a row.
extern "C" __global__ void predict_rows_back(float *p, const u32 *targets, const float *factors, u32 width) {
    u32 row = blockIdx.x;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float *at = p + (u64)row * width + i;
        *at = factors[row] * (*at - (i == targets[row] ? 1.0f : 0.0f));
    }
}
