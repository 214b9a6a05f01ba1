// Rows times packed weights: out[r] (+)= x[r] · W + bias, each output one chain of fused multiply-adds over the inputs in order.
//
// Weights stand in panels of 32 outputs, [output / 32][input][output % 32], as `Packed` has them; `scales` (int8) multiplies a sum
// when it is complete. One block is a panel (x) and a tile of rows (y) of an expert (z); 128 threads are 32 outputs by four groups
// of rows. Inputs come through shared memory 32 at a time. With `starts`, expert z has the rows starts[z] to starts[z + 1] and its
// own weights and scales, one after another's; with `row_of`, row r reads x[row_of[r]]. A row's bits know nothing of the tile.

template <typename W, u32 ROWS>
__device__ void product_tile(const W *panels, const float *scales, const float *bias, u32 k, u32 n, u32 rows, const u32 *starts,
                             const u32 *row_of, const float *x, u32 x_stride, u32 add, float *out) {
    __shared__ float weights[32][PANEL];
    __shared__ float inputs[4 * ROWS][32];
    u32 lane = threadIdx.x % PANEL, group = threadIdx.x / PANEL;
    u32 start = starts ? starts[blockIdx.z] : 0, end = starts ? starts[blockIdx.z + 1] : rows;
    u32 first = start + blockIdx.y * 4 * ROWS;
    if (first >= end) return;
    u32 column = blockIdx.x * PANEL + lane;
    const W *panel = panels + (u64)blockIdx.z * k * n + (u64)blockIdx.x * k * PANEL;
    float sums[ROWS];
    for (u32 r = 0; r < ROWS; r++) sums[r] = 0.0f;
    for (u32 from = 0; from < k; from += 32) {
        u32 count = k - from < 32 ? k - from : 32;
        for (u32 i = group; i < count; i += 4) weights[i][lane] = widen(panel[(u64)(from + i) * PANEL + lane]);
        for (u32 r = group; r < 4 * ROWS; r += 4)
            if (first + r < end && lane < count) {
                u32 row = row_of ? row_of[first + r] : first + r;
                inputs[r][lane] = x[(u64)row * x_stride + from + lane];
            }
        __syncthreads();
        for (u32 i = 0; i < count; i++) {
            float w = weights[i][lane];
            for (u32 r = 0; r < ROWS; r++)
                if (first + group * ROWS + r < end) sums[r] = fmaf(inputs[group * ROWS + r][i], w, sums[r]);
        }
        __syncthreads();
    }
    for (u32 r = 0; r < ROWS; r++) {
        u32 row = first + group * ROWS + r;
        if (row >= end) continue;
        float sum = scales ? sums[r] * scales[(u64)blockIdx.z * n + column] : sums[r];
        float *to = out + (u64)row * n + column;
        if (add) sum = *to + sum;
        *to = bias ? sum + bias[column] : sum;
    }
}

// NAME_many has tiles of 32 rows, NAME_few of 8.
#define PRODUCT(NAME, W, ROWS)                                                                                                   \
    extern "C" __global__ void NAME(const W *panels, const float *scales, const float *bias, u32 k, u32 n, u32 rows,             \
                                    const u32 *starts, const u32 *row_of, const float *x, u32 x_stride, u32 add, float *out) {   \
        product_tile<W, ROWS>(panels, scales, bias, k, n, rows, starts, row_of, x, x_stride, add, out);                          \
    }

PRODUCT(product_f32_many, float, 8)
PRODUCT(product_f32_few, float, 2)
PRODUCT(product_bf16_many, u16, 8)
PRODUCT(product_bf16_few, u16, 2)
PRODUCT(product_int8_many, i8, 8)
PRODUCT(product_int8_few, i8, 2)
