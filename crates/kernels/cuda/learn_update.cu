// What training does to parameters: ternary values, columns of adapters, AdamW, norms of gradients. Sums are f64.

// partial[matrix][chunk] = sum of |w| over a chunk (x) of matrix y. 256 threads a block.
extern "C" __global__ void absolute_sums(const float *w, u64 length, double *partial) {
    __shared__ double shared[256];
    u64 from = length * blockIdx.x / gridDim.x, to = length * (blockIdx.x + 1) / gridDim.x;
    double sum = 0.0;
    for (u64 i = from + threadIdx.x; i < to; i += 256) sum += (double)fabsf(w[blockIdx.y * length + i]);
    sum = group_total<256>(sum, shared);
    if (threadIdx.x == 0) partial[(u64)blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// out = s clip(round(w / s), -1, 1) with s the mean of |w| of each matrix (y), halves to even, no negative zero.
extern "C" __global__ void ternary_values(const float *w, u64 length, const double *partial, u32 chunks, float *out) {
    double sum = 0.0;
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += partial[(u64)blockIdx.y * chunks + chunk];
    float scale = (float)(sum / (double)length);
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < length; i += (u64)gridDim.x * blockDim.x) {
        u64 at = blockIdx.y * length + i;
        out[at] = scale == 0.0f ? 0.0f : fminf(fmaxf(rintf(w[at] / scale), -1.0f), 1.0f) * scale + 0.0f;
    }
}

// y[r][first + c] += scale v[r][c] for `columns` of the `width` columns of y. One block a row.
extern "C" __global__ void add_columns(const float *v, u32 columns, float scale, u32 first, u32 width, float *y) {
    u64 row = blockIdx.x;
    for (u32 c = threadIdx.x; c < columns; c += blockDim.x) y[row * width + first + c] += scale * v[row * columns + c];
}

// out[r][c] = scale y[r][first + c].
extern "C" __global__ void take_columns(const float *y, u32 columns, float scale, u32 first, u32 width, float *out) {
    u64 row = blockIdx.x;
    for (u32 c = threadIdx.x; c < columns; c += blockDim.x) out[row * columns + c] = scale * y[row * width + first + c];
}

// One step of AdamW with decoupled decay, in the order of the CPU's operations; without a gradient it is zero.
extern "C" __global__ void adamw(float *parameters, float *first, float *second, const float *gradient, u64 count, float b1, float b2, float r1,
                                 float r2, float rate, float second_scale, float eps, float decay, float scale) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float g = gradient ? gradient[i] * scale : 0.0f;
    float m = b1 * first[i] + r1 * g, v = b2 * second[i] + r2 * g * g;
    first[i] = m;
    second[i] = v;
    parameters[i] = parameters[i] * decay - rate * m / (sqrtf(v) * second_scale + eps);
}

// partial[first + chunk] = sum of x² over a chunk. 256 threads a block.
extern "C" __global__ void square_sums(const float *x, u64 count, double *partial, u32 first) {
    __shared__ double shared[256];
    u64 from = count * blockIdx.x / gridDim.x, to = count * (blockIdx.x + 1) / gridDim.x;
    double sum = 0.0;
    for (u64 i = from + threadIdx.x; i < to; i += 256) sum += (double)x[i] * (double)x[i];
    sum = group_total<256>(sum, shared);
    if (threadIdx.x == 0) partial[first + blockIdx.x] = sum;
}

// x[0] = sum of the `count` numbers behind it. One block of 256 threads.
extern "C" __global__ void sum_wide(double *x, u32 count) {
    __shared__ double shared[256];
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < count; i += 256) sum += x[1 + i];
    sum = group_total<256>(sum, shared);
    if (threadIdx.x == 0) x[0] = sum;
}
