// Attention of training, causal inside each document, and its gradients, tile by tile (FlashAttention-2, arXiv 2307.08691), in f32.
//
// A row of x holds query heads, key heads, then value heads of one token. A tile is 64 rows of one document. A block of 256 threads has a tile of
// queries, or of keys, and goes over those on the other side that see it. No score leaves the block: going back, P is computed again from
// the logarithms of the sums that the forward pass keeps.
//
// The columns of a head are taken in slices of 64: 32 frequencies f with the columns f and half + f, which turn together; a slice holds zeros
// where the head has no column, or the document no row. Thread (tx, ty) has the scores of rows ty + 16 i and tx + 16 j; of a slice the rows
// ty + 16 i and the frequencies 2 tx and 2 tx + 1, low columns first. NAME_S is for heads of up to S slices.

constexpr u32 TILE = 64;
constexpr u32 FREQUENCIES = 32;
constexpr u32 TILE_FOURS = TILE / 4 + 1; // the last keeps neighbouring rows in different banks

typedef Four<float> Slice[TILE][TILE_FOURS];

// What the threads of a block share: two operands of a product, and what rows are folded from.
struct TileMemory {
    Slice a, b;
    float tops[TILE][17], sums[TILE][17];
};

__device__ inline TileMemory &tile_memory() {
    __shared__ TileMemory memory;
    return memory;
}

struct alignas(8) Two {
    float of[2];
};

// The columns of one head, in rows of `stride`: turned by cos and sin [position][half], null where they do not turn, and scaled.
struct Head {
    const float *x;
    u32 stride;
    const float *cos, *sin;
    float scale;
};

// The heads of a row, as `AttentionHeads` has them, one of the key heads with the query heads that read it, and what becomes of scores, as
// `AttentionScores` has it: cap is 0 for none.
struct Layout {
    u32 query, readers, key, dim;
    float scale, cap;
    u32 window;

    __device__ u32 width() const { return (query + 2 * key) * dim; }
    __device__ u32 half() const { return dim / 2; }
    __device__ u32 group() const { return query / readers / key; }
    __device__ u32 key_of(u32 head) const { return head % (query / readers) / group(); }
    // Query head `i` of those that read key head g.
    __device__ u32 reader(u32 g, u32 i) const { return i / group() * (query / readers) + g * group() + i % group(); }
    // Whether query q sees key k, both counted from the beginning of the document.
    __device__ bool sees(u32 q, u32 k) const { return k <= q && q - k < window; }
    // The beginning of the first tile that rows from `row` on of a document see.
    __device__ u32 first_seen(u32 start, u32 row) const { return row - start < window ? start : start + (row - start - window + 1) / TILE * TILE; }
    // The end of the rows that see one before `end`, in a document that ends at `last`.
    __device__ u32 last_seeing(u32 end, u32 last) const { return window < last - end ? end + window - 1 : last; }
    __device__ float held(float score) const { return cap > 0.0f ? soft_capped(score, cap) : score; }
    // The slope of `held` where it gives `score`.
    __device__ float hold_slope(float score) const { return cap > 0.0f ? soft_cap_slope(score, cap) : 1.0f; }
};

// A document, and where one of its tiles begins.
struct Tile {
    u32 start, end, first;
};

__device__ inline Tile tile_of(const u32 *tiles) { return {tiles[3 * blockIdx.x], tiles[3 * blockIdx.x + 1], tiles[3 * blockIdx.x + 2]}; }

__device__ inline Head query_head(const Layout &e, const float *x, const float *cos, const float *sin, u32 head) {
    return {x + head * e.dim, e.width(), cos, sin, e.scale};
}

__device__ inline Head key_head(const Layout &e, const float *x, const float *cos, const float *sin, u32 g) {
    return {x + (e.query + g) * e.dim, e.width(), cos, sin, 1.0f};
}

__device__ inline Head value_head(const Layout &e, const float *x, u32 g) {
    return {x + (e.query + e.key + g) * e.dim, e.width(), nullptr, nullptr, 1.0f};
}

__device__ inline Head gradient_head(const Layout &e, const float *d_out, u32 head) {
    return {d_out + head * e.dim, e.query * e.dim, nullptr, nullptr, 1.0f};
}

// Slice `slice` of a head for the rows from `from` on.
__device__ inline void load_slice(const Head &head, const Tile &tile, u32 from, u32 half, u32 slice, Slice &to) {
#pragma unroll 2
    for (u32 i = threadIdx.x; i < TILE * FREQUENCIES; i += 256) {
        u32 r = i / FREQUENCIES, slot = i % FREQUENCIES, f = slice * FREQUENCIES + slot;
        float low = 0.0f, high = 0.0f;
        if (from + r < tile.end && f < half) {
            const float *row = head.x + (u64)(from + r) * head.stride;
            low = row[f], high = row[half + f];
            if (head.cos) {
                u64 at = (u64)(from + r - tile.start) * half + f;
                float c = head.cos[at] * head.scale, s = head.sin[at] * head.scale, straight = low;
                low = straight * c - high * s;
                high = high * c + straight * s;
            }
        }
        to[r][slot / 4].of[slot % 4] = low;
        to[r][FREQUENCIES / 4 + slot / 4].of[slot % 4] = high;
    }
}

// sums[i][j] += the product of rows ty + 16 i of a and tx + 16 j of b.
__device__ inline void add_row_products(const Slice &a, const Slice &b, float (&sums)[4][4]) {
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll 1
    for (u32 c = 0; c < TILE / 4; c++) {
        Four<float> left[4], right[4];
        for (u32 i = 0; i < 4; i++) {
            left[i] = a[ty + 16 * i][c];
            right[i] = b[tx + 16 * i][c];
        }
        for (u32 d = 0; d < 4; d++)
            for (u32 i = 0; i < 4; i++)
                for (u32 j = 0; j < 4; j++) sums[i][j] = fmaf(left[i].of[d], right[j].of[d], sums[i][j]);
    }
}

// sums[i] += row ty + 16 i of `weights` times the rows of b, for the thread's columns of a slice.
__device__ inline void add_weighted_rows(const Slice &weights, const Slice &b, float (&sums)[4][4]) {
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll 1
    for (u32 k = 0; k < TILE / 4; k++) {
        Four<float> left[4];
        for (u32 i = 0; i < 4; i++) left[i] = weights[ty + 16 * i][k];
        for (u32 d = 0; d < 4; d++) {
            const float *row = (const float *)b[4 * k + d];
            Two low = *(const Two *)(row + 2 * tx), high = *(const Two *)(row + FREQUENCIES + 2 * tx);
            for (u32 i = 0; i < 4; i++) {
                sums[i][0] = fmaf(left[i].of[d], low.of[0], sums[i][0]);
                sums[i][1] = fmaf(left[i].of[d], low.of[1], sums[i][1]);
                sums[i][2] = fmaf(left[i].of[d], high.of[0], sums[i][2]);
                sums[i][3] = fmaf(left[i].of[d], high.of[1], sums[i][3]);
            }
        }
    }
}

// Scores of rows of head `a` from `a_from` on by rows of head `b` from `b_from` on. When it returns, both slices of the memory are free.
template <u32 SLICES>
__device__ inline void score_tiles(const Head &a, u32 a_from, const Head &b, u32 b_from, const Tile &tile, u32 half, float (&scores)[4][4]) {
    TileMemory &memory = tile_memory();
    for (u32 i = 0; i < 4; i++)
        for (u32 j = 0; j < 4; j++) scores[i][j] = 0.0f;
#pragma unroll 1
    for (u32 slice = 0; slice < SLICES; slice++) {
        load_slice(a, tile, a_from, half, slice, memory.a);
        load_slice(b, tile, b_from, half, slice, memory.b);
        __syncthreads();
        add_row_products(memory.a, memory.b, scores);
        __syncthreads();
    }
}

// Puts the thread's weights into the first slice of the memory.
__device__ inline void store_weights(const float (&weights)[4][4]) {
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (u32 i = 0; i < 4; i++)
        for (u32 j = 0; j < 4; j++) tile_memory().a[ty + 16 * i][(tx + 16 * j) / 4].of[tx % 4] = weights[i][j];
}

// sums += the stored weights times the rows of a head from `from` on. When it returns, both slices of the memory are free.
template <u32 SLICES>
__device__ inline void add_weighted_tile(const Head &head, u32 from, const Tile &tile, u32 half, float (&sums)[SLICES][4][4]) {
    TileMemory &memory = tile_memory();
#pragma unroll
    for (u32 slice = 0; slice < SLICES; slice++) {
        load_slice(head, tile, from, half, slice, memory.b);
        __syncthreads();
        add_weighted_rows(memory.a, memory.b, sums[slice]);
        __syncthreads();
    }
}

// Writes the rows of a tile to the columns of one head of a matrix, row ty + 16 i times factors[i], and turned back where cos is not null.
template <u32 SLICES>
__device__ inline void store_tile(const float (&sums)[SLICES][4][4], const float (&factors)[4], const Tile &tile, u32 half, const float *cos,
                                  const float *sin, u32 stride, float *to) {
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
    for (u32 slice = 0; slice < SLICES; slice++)
        for (u32 i = 0; i < 4; i++)
            for (u32 c = 0; c < 2; c++) {
                u32 row = tile.first + ty + 16 * i, f = slice * FREQUENCIES + 2 * tx + c;
                if (row >= tile.end || f >= half) continue;
                float low = sums[slice][i][c] * factors[i], high = sums[slice][i][2 + c] * factors[i];
                if (cos) {
                    u64 at = (u64)(row - tile.start) * half + f;
                    float turned = low;
                    low = turned * cos[at] + high * sin[at];
                    high = high * cos[at] - turned * sin[at];
                }
                to[(u64)row * stride + f] = low;
                to[(u64)row * stride + half + f] = high;
            }
}

// out[r][head] = sum of P value, and log_sums[r][head], the logarithm of the sum that P is divided by. A block is a tile (x) of a query head (y).
template <u32 SLICES>
__device__ inline void attend_tile(const Layout &e, const u32 *tiles, const float *cos, const float *sin, const float *x, float *out,
                                   float *log_sums) {
    TileMemory &memory = tile_memory();
    Tile tile = tile_of(tiles);
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16, head = blockIdx.y, half = e.half();
    Head query = query_head(e, x, cos, sin, head), key = key_head(e, x, cos, sin, e.key_of(head)), value = value_head(e, x, e.key_of(head));
    float tops[4] = {LEAST, LEAST, LEAST, LEAST}, totals[4] = {}, mixed[SLICES][4][4] = {};
    for (u32 from = e.first_seen(tile.start, tile.first); from <= tile.first; from += TILE) {
        float scores[4][4];
        score_tiles<SLICES>(query, tile.first, key, from, tile, half, scores);
        for (u32 i = 0; i < 4; i++) {
            float top = LEAST;
            for (u32 j = 0; j < 4; j++) {
                bool seen = e.sees(tile.first + ty + 16 * i, from + tx + 16 * j);
                scores[i][j] = seen ? e.held(scores[i][j]) : LEAST;
                top = larger(top, scores[i][j]);
            }
            memory.tops[ty + 16 * i][tx] = top;
        }
        __syncthreads();
        for (u32 i = 0; i < 4; i++) {
            float before = tops[i], sum = 0.0f;
            for (u32 l = 0; l < 16; l++) tops[i] = larger(tops[i], memory.tops[ty + 16 * i][l]);
            for (u32 j = 0; j < 4; j++) {
                scores[i][j] = exp_lane(scores[i][j] - tops[i]);
                sum += scores[i][j];
            }
            memory.sums[ty + 16 * i][tx] = sum;
            float kept = exp_lane(before - tops[i]);
            totals[i] *= kept;
#pragma unroll
            for (u32 slice = 0; slice < SLICES; slice++)
                for (u32 c = 0; c < 4; c++) mixed[slice][i][c] *= kept;
        }
        store_weights(scores);
        __syncthreads();
        for (u32 i = 0; i < 4; i++)
            for (u32 l = 0; l < 16; l++) totals[i] += memory.sums[ty + 16 * i][l];
        add_weighted_tile<SLICES>(value, from, tile, half, mixed);
    }
    float factors[4];
    for (u32 i = 0; i < 4; i++) {
        u32 row = tile.first + ty + 16 * i;
        factors[i] = 1.0f / totals[i];
        if (tx == 0 && row < tile.end) log_sums[(u64)row * e.query + head] = tops[i] + (float)log_wide((double)totals[i]);
    }
    store_tile<SLICES>(mixed, factors, tile, half, nullptr, nullptr, e.query * e.dim, out + head * e.dim);
}

// Makes scores of a query and slopes along P what they stand for: P, and the slopes along the scores.
__device__ inline void soften_back(const Layout &e, float &score, float &slope, bool seen, float log_sum, float along) {
    float held = e.held(score);
    score = seen ? exp_lane(held - log_sum) : 0.0f;
    slope = score * (slope - along) * e.hold_slope(held);
}

// The gradient of the queries: dq = dS k with dS = P (dP - along), dP = d_out value and along = sum(d_out out) of each row and head. A block is
// a tile (x) of a query head (y).
template <u32 SLICES>
__device__ inline void attend_query_back(const Layout &e, const u32 *tiles, const float *cos, const float *sin, const float *x,
                                         const float *log_sums, const float *alongs, const float *d_out, float *dx) {
    Tile tile = tile_of(tiles);
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16, head = blockIdx.y, half = e.half();
    Head query = query_head(e, x, cos, sin, head), key = key_head(e, x, cos, sin, e.key_of(head)), value = value_head(e, x, e.key_of(head));
    Head gradient = gradient_head(e, d_out, head);
    float log_sum[4] = {}, along[4] = {}, factors[4], sums[SLICES][4][4] = {};
    for (u32 i = 0; i < 4; i++) {
        u32 row = tile.first + ty + 16 * i;
        factors[i] = e.scale;
        if (row >= tile.end) continue;
        log_sum[i] = log_sums[(u64)row * e.query + head];
        along[i] = alongs[(u64)row * e.query + head];
    }
    for (u32 from = e.first_seen(tile.start, tile.first); from <= tile.first; from += TILE) {
        float scores[4][4], slopes[4][4];
        score_tiles<SLICES>(query, tile.first, key, from, tile, half, scores);
        score_tiles<SLICES>(gradient, tile.first, value, from, tile, half, slopes);
#pragma unroll
        for (u32 i = 0; i < 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                bool seen = e.sees(tile.first + ty + 16 * i, from + tx + 16 * j);
                soften_back(e, scores[i][j], slopes[i][j], seen, log_sum[i], along[i]);
            }
        store_weights(slopes);
        add_weighted_tile<SLICES>(key, from, tile, half, sums);
    }
    store_tile<SLICES>(sums, factors, tile, half, cos, sin, e.width(), dx + head * e.dim);
}

// The gradients of keys and values: dk = dSᵀ q, dv = Pᵀ d_out, over all query heads that read them. A block is a tile (x) of a key head (y).
template <u32 SLICES>
__device__ inline void attend_key_back(const Layout &e, const u32 *tiles, const float *cos, const float *sin, const float *x,
                                       const float *log_sums, const float *alongs, const float *d_out, float *dx) {
    Tile tile = tile_of(tiles);
    u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16, g = blockIdx.y, half = e.half();
    u32 last = e.last_seeing(tile.first + TILE < tile.end ? tile.first + TILE : tile.end, tile.end);
    Head key = key_head(e, x, cos, sin, g), value = value_head(e, x, g);
    float d_key[SLICES][4][4] = {}, d_value[SLICES][4][4] = {};
    for (u32 reader = 0; reader < e.readers * e.group(); reader++) {
        u32 head = e.reader(g, reader);
        Head query = query_head(e, x, cos, sin, head), gradient = gradient_head(e, d_out, head);
        for (u32 from = tile.first; from < last; from += TILE) {
            float scores[4][4], slopes[4][4];
            score_tiles<SLICES>(key, tile.first, query, from, tile, half, scores);
            score_tiles<SLICES>(value, tile.first, gradient, from, tile, half, slopes);
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                u32 row = from + tx + 16 * j;
                bool there = row < tile.end;
                float log_sum = there ? log_sums[(u64)row * e.query + head] : 0.0f, along = there ? alongs[(u64)row * e.query + head] : 0.0f;
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    bool seen = there && e.sees(row, tile.first + ty + 16 * i);
                    soften_back(e, scores[i][j], slopes[i][j], seen, log_sum, along);
                }
            }
            store_weights(scores);
            add_weighted_tile<SLICES>(gradient, from, tile, half, d_value);
            store_weights(slopes);
            add_weighted_tile<SLICES>(query, from, tile, half, d_key);
        }
    }
    float ones[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    store_tile<SLICES>(d_key, ones, tile, half, cos, sin, e.width(), dx + (e.query + g) * e.dim);
    store_tile<SLICES>(d_value, ones, tile, half, nullptr, nullptr, e.width(), dx + (e.query + e.key + g) * e.dim);
}

#define LAYOUT u32 query, u32 readers, u32 key, u32 dim, float scale, float cap, u32 window
#define THE_LAYOUT {query, readers, key, dim, scale, cap, window}

#define ATTENTION(SLICES)                                                                                                            \
    WIDE_KERNEL attention_##SLICES(LAYOUT, const u32 *tiles, const float *cos, const float *sin, const float *x, float *out,         \
                float *log_sums) {                                                                                                   \
        attend_tile<SLICES>(THE_LAYOUT, tiles, cos, sin, x, out, log_sums);                                                          \
    }                                                                                                                                \
    WIDE_KERNEL attention_query_back_##SLICES(LAYOUT, const u32 *tiles, const float *cos, const float *sin, const float *x,          \
                const float *log_sums, const float *alongs, const float *d_out, float *dx) {                                         \
        attend_query_back<SLICES>(THE_LAYOUT, tiles, cos, sin, x, log_sums, alongs, d_out, dx);                                      \
    }                                                                                                                                \
    WIDE_KERNEL attention_key_back_##SLICES(LAYOUT, const u32 *tiles, const float *cos, const float *sin, const float *x,            \
                const float *log_sums, const float *alongs, const float *d_out, float *dx) {                                         \
        attend_key_back<SLICES>(THE_LAYOUT, tiles, cos, sin, x, log_sums, alongs, d_out, dx);                                        \
    }

ATTENTION(1)
ATTENTION(2)
ATTENTION(4)
