// Attention over paged keys and values.
//
// A block of one layer holds sixteen positions: keys [head][dim][position], then values [head][dim / 16][position][dim % 16]. A
// fused row is queries, keys, values, each padded to whole panels. `tables` has the blocks of all sequences of a step; those of row r
// begin at table_of[r].

// Extents, as `Shape` has them.
struct Extents {
    u32 query_heads, key_heads, readers, dim;
    u32 query_len, key_len; // of all heads, padded
    u32 block_len;          // f32 of a block of one layer
    float scale, cap, clip; // cap and clip: 0 for none
};

// An RMSNorm of each `width` numbers of a row, in place: squares in sixteen lanes, these one after the other.
__device__ inline void norm_parts(float *row, u32 count, const float *scale, u32 width, float eps, float *lanes, float *factors) {
    u32 parts = count / width, lane = threadIdx.x % LANES, member = threadIdx.x / LANES, members = blockDim.x / LANES;
    for (u32 from = 0; from < parts; from += members) {
        u32 part = from + member;
        float squares = 0.0f;
        if (part < parts)
            for (u32 i = lane; i < width; i += LANES) {
                float x = row[part * width + i];
                squares = squares + x * x;
            }
        lanes[threadIdx.x] = squares;
        __syncthreads();
        if (lane == 0) {
            float sum = 0.0f;
            for (u32 i = 0; i < LANES; i++) sum = sum + lanes[member * LANES + i];
            factors[member] = 1.0f / sqrtf(sum / (float)width + eps);
        }
        __syncthreads();
        if (part < parts)
            for (u32 i = lane; i < width; i += LANES) {
                float *x = row + part * width + i;
                *x = (*x * factors[member]) * scale[i];
            }
        __syncthreads();
    }
}

// Norms, clips and rotates queries and keys of each fused row and stores keys and values at `position` of its sequence. Dim i turns
// with dim i + dim / 2 by cos, sin [turn][dim / 2]. Norms are null for none. One block of 128 threads a row.
extern "C" __global__ void place(Extents e, float *fused, const float *query_norm, u32 query_width, const float *key_norm, u32 key_width,
                                 float eps, const float *cos, const float *sin, const u32 *turns, const u32 *positions,
                                 const u32 *table_of, const u32 *tables, float *blocks) {
    __shared__ float lanes[128];
    __shared__ float factors[128 / LANES];
    u32 r = blockIdx.x, half = e.dim / 2;
    float *query = fused + (u64)r * (e.query_len + 2 * e.key_len), *key = query + e.query_len, *value = key + e.key_len;
    u32 queries = e.query_heads * e.dim, keys = e.key_heads * e.dim;
    if (query_norm) {
        norm_parts(query, queries, query_norm, query_width, eps, lanes, factors);
        norm_parts(key, keys, key_norm, key_width, eps, lanes, factors);
    }
    if (e.clip > 0.0f) {
        for (u32 i = threadIdx.x; i < queries; i += blockDim.x) query[i] = fminf(fmaxf(query[i], -e.clip), e.clip);
        for (u32 i = threadIdx.x; i < keys; i += blockDim.x) {
            key[i] = fminf(fmaxf(key[i], -e.clip), e.clip);
            value[i] = fminf(fmaxf(value[i], -e.clip), e.clip);
        }
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < (e.query_heads + e.key_heads) * half; i += blockDim.x) {
        u32 head = i / half, d = i % half;
        float *at = head < e.query_heads ? query + head * e.dim : key + (head - e.query_heads) * e.dim;
        float a = at[d], b = at[half + d], c = cos[(u64)turns[r] * half + d], s = sin[(u64)turns[r] * half + d];
        at[d] = a * c - b * s;
        at[half + d] = b * c + a * s;
    }
    __syncthreads();
    u32 slot = positions[r] % BLOCK, value_dims = (e.dim + LANES - 1) / LANES * LANES;
    float *block = blocks + (u64)tables[table_of[r] + positions[r] / BLOCK] * e.block_len;
    for (u32 i = threadIdx.x; i < keys; i += blockDim.x) {
        u32 head = i / e.dim, d = i % e.dim;
        block[i * BLOCK + slot] = key[i];
        block[keys * BLOCK + head * value_dims * BLOCK + d / LANES * BLOCK * LANES + slot * LANES + d % LANES] = value[i];
    }
}

// What each row attends to: out[r][head] = sum of softmax(cap(scale query · key)) value over the positions that it sees, its own and
// those before, `window` at most. `scores` is scratch, [row from `first` on][query head][longest], longest a multiple of 16 positions. One
// block of 128 threads a row from `first` on (x) and query head (y). A score is four chains over the dims; a value eight chains over the positions.
extern "C" __global__ void attend(Extents e, u32 first, const float *fused, const u32 *positions, u32 window, const u32 *table_of, const u32 *tables,
                                  const float *blocks, float *scores, u32 longest, float *out) {
    __shared__ float query[512];
    __shared__ float shared[128];
    u32 r = first + blockIdx.x, head = blockIdx.y, t = threadIdx.x;
    // Head `head` of one of the attentions that read the same keys.
    u32 own = e.query_heads / e.readers, key_head = head % own / (own / e.key_heads);
    const float *from = fused + (u64)r * (e.query_len + 2 * e.key_len) + head * e.dim;
    for (u32 i = t; i < e.dim; i += blockDim.x) query[i] = from[i];
    __syncthreads();
    u32 hidden = positions[r] + 1 > window ? positions[r] + 1 - window : 0, before = hidden / BLOCK;
    const u32 *table = tables + table_of[r] + before;
    u32 seen_from = hidden % BLOCK, seen_to = positions[r] + 1 - before * BLOCK, count = (seen_to + BLOCK - 1) / BLOCK * BLOCK;
    float *weights = scores + ((u64)blockIdx.x * e.query_heads + head) * longest;
    float top = LEAST;
    for (u32 p = t; p < count; p += blockDim.x) {
        const float *key = blocks + (u64)table[p / BLOCK] * e.block_len + key_head * e.dim * BLOCK + p % BLOCK;
        float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
        u32 i = 0;
        for (; i + 4 <= e.dim; i += 4) {
            a = fmaf(query[i], key[i * BLOCK], a);
            b = fmaf(query[i + 1], key[(i + 1) * BLOCK], b);
            c = fmaf(query[i + 2], key[(i + 2) * BLOCK], c);
            d = fmaf(query[i + 3], key[(i + 3) * BLOCK], d);
        }
        if (i < e.dim) { // heads are an even number of dims wide
            a = fmaf(query[i], key[i * BLOCK], a);
            b = fmaf(query[i + 1], key[(i + 1) * BLOCK], b);
        }
        float score = ((a + b) + (c + d)) * e.scale;
        if (e.cap > 0.0f) score = soft_capped(score, e.cap);
        if (p < seen_from || p >= seen_to) score = LEAST;
        weights[p] = score;
        top = larger(top, score);
    }
    shared[t] = top;
    __syncthreads();
    for (u32 i = 0; i < blockDim.x; i++) top = larger(top, shared[i]);
    __syncthreads();
    for (u32 p = t; p < count; p += blockDim.x) weights[p] = exp_lane(weights[p] - top);
    __syncthreads();
    if (t < LANES) {
        float sum = 0.0f;
        for (u32 p = t; p < count; p += LANES) sum = sum + weights[p];
        shared[t] = sum;
    }
    __syncthreads();
    float factor = 1.0f / total(shared);
    __syncthreads();
    u32 lane = t % LANES, phase = t / LANES, value_dims = (e.dim + LANES - 1) / LANES * LANES;
    u64 values = (u64)e.key_heads * e.dim * BLOCK + (u64)key_head * value_dims * BLOCK;
    for (u32 start = 0; start < e.dim; start += LANES) {
        float sum = 0.0f;
        for (u32 p = phase; p < seen_to; p += 8) {
            const float *value = blocks + (u64)table[p / BLOCK] * e.block_len + values + start * BLOCK + p % BLOCK * LANES;
            sum = fmaf(weights[p], value[lane], sum);
        }
        shared[t] = sum;
        __syncthreads();
        for (u32 half = 4; half > 0; half /= 2) {
            if (phase < half) shared[t] = shared[t] + shared[t + half * LANES];
            __syncthreads();
        }
        if (phase == 0 && start + lane < e.dim) out[(u64)r * e.query_len + head * e.dim + start + lane] = shared[lane] * factor;
        __syncthreads();
    }
}

// Copies block from[i] to block to[i] of one layer. One block of threads a copy.
extern "C" __global__ void copy_blocks(float *blocks, const u32 *from, const u32 *to, u32 block_len) {
    for (u32 i = threadIdx.x; i < block_len; i += blockDim.x)
        blocks[(u64)to[blockIdx.x] * block_len + i] = blocks[(u64)from[blockIdx.x] * block_len + i];
}

// A soft mixture of attention: with g the softmax of a row of `logits` (`count` of `width` numbers), multiplies what attention j gives,
// `own` numbers of a row of `attended`, by g[j], or by 0 where `kept` others count more. One block a row.
extern "C" __global__ void mix_attentions(float *logits, u32 count, u32 width, u32 kept, float *attended, u32 own, u32 stride) {
    __shared__ float lanes[LANES];
    float *g = logits + (u64)blockIdx.x * width;
    for (u32 i = count + threadIdx.x; i < width; i += blockDim.x) g[i] = LEAST;
    __syncthreads();
    softmax_row(g, width, lanes);
    for (u32 i = threadIdx.x; i < count * own; i += blockDim.x) {
        u32 j = i / own, rank = 0;
        for (u32 other = 0; other < count; other++) rank += g[other] > g[j] || (g[other] == g[j] && other < j);
        float *x = attended + (u64)blockIdx.x * stride + i;
        *x = *x * (rank < kept ? g[j] : 0.0f);
    }
}
