// The small loops between products. All matrices are row-major with rows of `stride` numbers.

// out[r] = table[tokens[r]] * scale, and zeros from `width` on. One block a row; table (V, width), `scales` one for each row of it.
template <typename W>
__device__ void embed_row(const W *table, const float *scales, const u32 *tokens, u32 width, u32 stride, float scale, float *out) {
    u32 token = tokens[blockIdx.x];
    const W *from = table + (u64)token * width;
    float *to = out + (u64)blockIdx.x * stride;
    for (u32 i = threadIdx.x; i < stride; i += blockDim.x) {
        float x = i < width ? widen(from[i]) : 0.0f;
        if (scales) x = x * scales[token];
        to[i] = x * scale;
    }
}

extern "C" __global__ void embed_f32(const float *table, const float *scales, const u32 *tokens, u32 width, u32 stride, float scale, float *out) {
    embed_row(table, scales, tokens, width, stride, scale, out);
}

extern "C" __global__ void embed_bf16(const u16 *table, const float *scales, const u32 *tokens, u32 width, u32 stride, float scale, float *out) {
    embed_row(table, scales, tokens, width, stride, scale, out);
}

extern "C" __global__ void embed_int8(const i8 *table, const float *scales, const u32 *tokens, u32 width, u32 stride, float scale, float *out) {
    embed_row(table, scales, tokens, width, stride, scale, out);
}

// out = x / sqrt(sum(x²) / width + eps) * scale for each row. One block a row. `x` and `out` are not the same.
extern "C" __global__ void rms_norm(const float *x, const float *scale, u32 width, u32 stride, float eps, float *out) {
    __shared__ float part[1024];
    __shared__ float lanes[LANES];
    const float *row = x + (u64)blockIdx.x * stride;
    float squares = 0.0f;
    for (u32 from = 0; from < stride; from += 1024) {
        u32 count = stride - from < 1024 ? stride - from : 1024;
        for (u32 i = threadIdx.x; i < count; i += blockDim.x) part[i] = row[from + i];
        __syncthreads();
        if (threadIdx.x < LANES)
            for (u32 i = threadIdx.x; i < count; i += LANES) squares = fmaf(part[i], part[i], squares);
        __syncthreads();
    }
    if (threadIdx.x < LANES) lanes[threadIdx.x] = squares;
    __syncthreads();
    float factor = 1.0f / sqrtf(total(lanes) / (float)width + eps);
    for (u32 i = threadIdx.x; i < stride; i += blockDim.x) out[(u64)blockIdx.x * stride + i] = (row[i] * factor) * scale[i];
}

// to += x, or to = 0 where x is null, for `count` numbers.
extern "C" __global__ void add_rows(const float *x, float *to, u64 count) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = x ? to[i] + x[i] : 0.0f;
}

// out[r] = x[index[r]]. One block a row.
extern "C" __global__ void gather_rows(const float *x, const u32 *index, u32 stride, float *out) {
    const float *from = x + (u64)index[blockIdx.x] * stride;
    for (u32 i = threadIdx.x; i < stride; i += blockDim.x) out[(u64)blockIdx.x * stride + i] = from[i];
}

// x = cap * tanh(x / cap) for `count` numbers.
extern "C" __global__ void soft_cap(float *x, float cap, u64 count) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) x[i] = soft_capped(x[i], cap);
}

// The activation of a gated block: 0 SiLU, 1 GELU by its tanh approximation, 2 GELU.
__device__ inline float activated(float x, u32 activation) {
    if (activation == 0) return x / (1.0f + exp_lane(0.0f - x));
    if (activation == 1) {
        const float root = 2.0f * sqrtf(2.0f / 3.14159274f);
        float cubic = fmaf(x * x, 0.044715f * root, root);
        return x / (1.0f + exp_lane(0.0f - x * cubic));
    }
    float size = larger(x, 0.0f - x);
    return larger(x, 0.0f) - (size * 0.5f) * normal_tails(size);
}

// out = activation(gate) * up: a row of `gate_up` is `width` gates, then `width` ups. For `count` outputs.
extern "C" __global__ void gate(const float *gate_up, u32 activation, u32 width, u64 count, float *out) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const float *row = gate_up + i / width * 2 * width;
    out[i] = activated(row[i % width], activation) * row[width + i % width];
}

// out = rows of x with 8 bits each: round(127 x / m) m / 127 with m the largest |x| of the row, halves to even. One block a row.
extern "C" __global__ void round_rows(const float *x, u32 stride, float *out) {
    __shared__ float tops[128];
    const float *row = x + (u64)blockIdx.x * stride;
    float top = 0.0f;
    for (u32 i = threadIdx.x; i < stride; i += blockDim.x) top = larger(top, fabsf(row[i]));
    tops[threadIdx.x] = top;
    __syncthreads();
    for (u32 i = 0; i < blockDim.x; i++) top = larger(top, tops[i]);
    float up = top == 0.0f ? 0.0f : 127.0f / top, down = top / 127.0f;
    for (u32 i = threadIdx.x; i < stride; i += blockDim.x)
        out[(u64)blockIdx.x * stride + i] =
            top == 0.0f ? row[i] : fminf(fmaxf(rintf(row[i] * up), -128.0f), 127.0f) * down;
}
