// Products of training: out (m, n) = a (m, k) · b (k, n), each matrix stored as it is or as its transpose, sums in f32.
//
// A block of 256 threads has a tile of 128 rows (y) by 64 columns (x) of a group (z); operands come through shared memory sixteen deep, and
// each thread keeps eight by four sums in registers. Places that a matrix lacks are zeros there and are not written. Every 256 deep the sums
// are added to totals, so that those over many rows keep their precision.

constexpr u32 TILE_ROWS = 128;
constexpr u32 TILE_COLUMNS = 64;
constexpr u32 TILE_DEPTH = 16;
constexpr u32 TILE_THREADS = 256;

// The nearest bf16, to even of two; what is no number stays none.
__device__ inline float rounded_bf16(float x) {
    u32 bits = __float_as_uint(x);
    return x == x ? __uint_as_float((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u) : x;
}

// A tile of ACROSS by sixteen deep, from `first` across and `from` deep: x[across][depth] with rows of `stride`, or x[depth][across] where it
// lies so. Neighbouring threads read neighbouring numbers.
template <u32 ACROSS>
__device__ inline void load_operand(const float *x, u64 stride, bool deep_rows, u32 first, u32 end, u32 from, u32 to, bool bf16,
                                    Four<float> (*tile)[ACROSS / 4 + 1]) {
    for (u32 t = threadIdx.x; t < ACROSS * TILE_DEPTH; t += TILE_THREADS) {
        u32 i = deep_rows ? t % ACROSS : t / TILE_DEPTH, depth = deep_rows ? t / ACROSS : t % TILE_DEPTH;
        float value = 0.0f;
        if (first + i < end && from + depth < to)
            value = deep_rows ? x[(from + depth) * stride + first + i] : x[(first + i) * stride + from + depth];
        tile[depth][i / 4].of[i % 4] = bf16 ? rounded_bf16(value) : value;
    }
}

// What groups share out: the rows of a and out, each group having its own b; or the depth, each having its own out. 0: there are none.
constexpr u32 BY_GROUP = 1;
constexpr u32 OVER_GROUPS = 2;

// Rows and the depth of group z go from starts[z] to starts[z + 1].
WIDE_KERNEL learn_product(const float *a, u32 a_transposed, const float *b, u32 b_transposed, u32 m, u32 k, u32 n,
                          const u32 *starts, u32 sharing, u32 bf16, float *out) {
    __shared__ Four<float> left[TILE_DEPTH][TILE_ROWS / 4 + 1];
    __shared__ Four<float> right[TILE_DEPTH][TILE_COLUMNS / 4 + 1];
    u32 row = 0, row_end = m, from = 0, to = k, z = blockIdx.z;
    if (sharing == BY_GROUP) {
        row = starts[z], row_end = starts[z + 1];
        b += (u64)z * k * n;
    }
    if (sharing == OVER_GROUPS) {
        from = starts[z], to = starts[z + 1];
        out += (u64)z * m * n;
    }
    row += blockIdx.y * TILE_ROWS;
    if (row >= row_end) return;
    u32 column = blockIdx.x * TILE_COLUMNS, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    Four<float> sums[8] = {}, totals[8] = {};
    for (u32 step = 1; from < to; from += TILE_DEPTH, step++) {
        load_operand<TILE_ROWS>(a, a_transposed ? m : k, a_transposed, row, row_end, from, to, bf16, left);
        load_operand<TILE_COLUMNS>(b, b_transposed ? k : n, !b_transposed, column, n, from, to, bf16, right);
        __syncthreads();
        for (u32 depth = 0; depth < TILE_DEPTH; depth++) {
            Four<float> upper = left[depth][ty], lower = left[depth][16 + ty], across = right[depth][tx];
            for (u32 i = 0; i < 4; i++) {
                add_products(sums[i], upper.of[i], across);
                add_products(sums[4 + i], lower.of[i], across);
            }
        }
        __syncthreads();
        if (step % 16 > 0 && from + TILE_DEPTH < to) continue;
        for (u32 i = 0; i < 8; i++)
            for (u32 c = 0; c < 4; c++) {
                totals[i].of[c] += sums[i].of[c];
                sums[i].of[c] = 0.0f;
            }
    }
    for (u32 i = 0; i < 8; i++) {
        u32 r = row + i / 4 * 64 + 4 * ty + i % 4;
        for (u32 c = 0; c < 4; c++)
            if (r < row_end && column + 4 * tx + c < n) out[(u64)r * n + column + 4 * tx + c] = totals[i].of[c];
    }
}
