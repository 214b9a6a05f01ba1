// Rows times packed weights: out[r] (+)= x[r] · W + bias, each output one chain of fused multiply-adds over the inputs in order.
//
// Weights stand in panels of 32 outputs, [output / 32][input][output % 32], as `Packed` has them; `scales` multiplies a sum
// when it is complete (int8), or the codes of a group of inputs, [output / 32][group][output % 32] (ternary, int4). One block is a panel
// (x) and a tile of rows (y) of an expert (z); 64 threads are eight groups of four outputs by eight groups of rows, and each thread keeps the
// sums of its outputs and rows in registers. Inputs come through shared memory 32 at a time, which are of one group, all four by four; rows that the tile lacks are zeros there and are not written. With `starts`, expert z has the rows starts[z] to
// starts[z + 1] and its own weights and scales, one after another's; with `row_of`, row r reads x[row_of[r]]. A row's bits know nothing of
// the tile.

// Four neighbouring weights as they are kept: numbers, or codes of two or four bits from the lowest bits.
struct FourTernary {
    u8 codes;
};
struct FourInt4 {
    u16 codes;
};

__device__ inline Four<float> widen(FourTernary w) {
    Four<float> four;
    for (u32 c = 0; c < 4; c++) four.of[c] = (float)((int)(w.codes >> (2 * c) & 3) - 1);
    return four;
}

__device__ inline Four<float> widen(FourInt4 w) {
    Four<float> four;
    for (u32 c = 0; c < 4; c++) four.of[c] = (float)((int)(w.codes >> (4 * c) & 15) - 8);
    return four;
}

// Inputs of `k` that share a scale of codes; 0 for weights that are no codes.
template <typename W> __device__ inline u32 group_of(u32) { return 0; }
template <> __device__ inline u32 group_of<FourTernary>(u32 k) { return k; }
template <> __device__ inline u32 group_of<FourInt4>(u32) { return 128; }

template <typename W, u32 ROWS>
__device__ void product_tile(const W *panels, const float *scales, const float *bias, u32 k, u32 n, u32 rows, const u32 *starts,
                             const u32 *row_of, const float *x, u32 x_stride, u32 add, float *out) {
    __shared__ Four<float> weights[32][8];
    __shared__ Four<float> inputs[8 * ROWS][9]; // the ninth keeps neighbouring rows in different banks
    u32 lane = threadIdx.x % 8, group = threadIdx.x / 8; // rows of a group: group, group + 8, ..
    u32 start = starts ? starts[blockIdx.z] : 0, end = starts ? starts[blockIdx.z + 1] : rows;
    u32 first = start + blockIdx.y * 8 * ROWS;
    if (first >= end) return;
    u32 column = blockIdx.x * PANEL + 4 * lane;
    const W *panel = panels + ((u64)blockIdx.z * n / PANEL + blockIdx.x) * k * 8;
    const u32 group_inputs = group_of<W>(k), groups = group_inputs ? (k + group_inputs - 1) / group_inputs : 0;
    const u64 first_scale = ((u64)blockIdx.z * n / PANEL + blockIdx.x) * groups * PANEL + 4 * lane;
    Four<float> sums[ROWS] = {};
    for (u32 from = 0; from < k; from += 32) {
        u32 count = k - from < 32 ? k - from : 32;
        Four<float> of_group = {{1.0f, 1.0f, 1.0f, 1.0f}};
        if (groups) of_group = *(const Four<float> *)(scales + first_scale + (u64)(from / group_inputs) * PANEL);
        for (u32 i = group; i < count; i += 8) {
            Four<float> four = widen(panel[(u64)(from + i) * 8 + lane]);
            for (u32 c = 0; c < 4; c++) four.of[c] = four.of[c] * of_group.of[c];
            weights[i][lane] = four;
        }
        for (u32 r = 0; r < ROWS; r++) {
            u32 place = first + r * 8 + group;
            Four<float> four = {};
            if (place < end) four = *(const Four<float> *)(x + (u64)(row_of ? row_of[place] : place) * x_stride + from + 4 * lane);
            inputs[r * 8 + group][lane] = four;
        }
        __syncthreads();
        u32 whole = count / 4;
        for (u32 i = 0; i < whole; i++)
            for (u32 r = 0; r < ROWS; r++) {
                Four<float> four = inputs[r * 8 + group][i];
                for (u32 j = 0; j < 4; j++) add_products(sums[r], four.of[j], weights[4 * i + j][lane]);
            }
        // Products of padding would turn a sum of -0 into 0.
        for (u32 j = 0; j < count % 4; j++)
            for (u32 r = 0; r < ROWS; r++) add_products(sums[r], inputs[r * 8 + group][whole].of[j], weights[4 * whole + j][lane]);
        __syncthreads();
    }
    Four<float> scale = {}, more = {};
    bool of_sums = scales && !groups;
    if (of_sums) scale = *(const Four<float> *)(scales + (u64)blockIdx.z * n + column);
    if (bias) more = *(const Four<float> *)(bias + column);
    for (u32 r = 0; r < ROWS; r++) {
        u32 row = first + r * 8 + group;
        if (row >= end) continue;
        Four<float> *to = (Four<float> *)(out + (u64)row * n + column);
        Four<float> before = {}, sum = sums[r];
        if (add) before = *to;
        for (u32 c = 0; c < 4; c++) {
            if (of_sums) sum.of[c] = sum.of[c] * scale.of[c];
            if (add) sum.of[c] = before.of[c] + sum.of[c];
            if (bias) sum.of[c] = sum.of[c] + more.of[c];
        }
        *to = sum;
    }
}

// NAME_many has tiles of 64 rows, NAME_few of 8.
#define PRODUCT(NAME, W, ROWS)                                                                                                   \
    extern "C" __global__ void NAME(const W *panels, const float *scales, const float *bias, u32 k, u32 n, u32 rows,             \
                                    const u32 *starts, const u32 *row_of, const float *x, u32 x_stride, u32 add, float *out) {   \
        product_tile<W, ROWS>(panels, scales, bias, k, n, rows, starts, row_of, x, x_stride, add, out);                          \
    }

PRODUCT(product_f32_many, Four<float>, 8)
PRODUCT(product_f32_few, Four<float>, 1)
PRODUCT(product_bf16_many, Four<u16>, 8)
PRODUCT(product_bf16_few, Four<u16>, 1)
PRODUCT(product_int8_many, Four<i8>, 8)
PRODUCT(product_int8_few, Four<i8>, 1)
PRODUCT(product_ternary_many, FourTernary, 8)
PRODUCT(product_ternary_few, FourTernary, 1)
PRODUCT(product_int4_many, FourInt4, 8)
PRODUCT(product_int4_few, FourInt4, 1)
