// From scores to a token: repetition penalty, temperature, top-k, top-p, min-p, and a draw by one uniform number.
//
// The draw is by inverse cumulative distribution in the order of token ids. Weights are e^((score - top) / temperature); sums are f32
// within 64 tokens and f64, one after the other, over these. The uniform number is Philox4x32-10 of (stream, place), so that a
// draw is named by the same key on every device. All is as the CPU has it, to the bit.

constexpr u32 SPAN = 64;           // tokens whose weights are summed in f32
constexpr u32 CHUNK = 1024;        // tokens of top-p sorted at a time
constexpr u32 NONE = 0xffffffffu;  // no token

// How the token of a row is chosen.
struct Pick {
    double top_p;      // above 0 to 1
    float factor;      // 1 / temperature; below 0: the most probable token
    float min_p;       // 0 to 1
    float penalty;     // 1: none
    u32 top_k;         // 0: all
    u32 forced;        // the token in any case, or NONE
    u32 stream[4];     // names the random numbers
    u32 place;         // position in the stream
    u32 seen_from, seen_to; // tokens of `seen` that the penalty is about, each once
};

__device__ inline double uniform(const u32 *stream, u32 place) {
    u32 c0 = place, c1 = 0, c2 = stream[2], c3 = stream[3], k0 = stream[0], k1 = stream[1];
    for (u32 round = 0; round < 10; round++) {
        u64 a = (u64)0xD2511F53u * c0, b = (u64)0xCD9E8D57u * c2;
        u32 next0 = (u32)(b >> 32) ^ c1 ^ k0, next2 = (u32)(a >> 32) ^ c3 ^ k1;
        c1 = (u32)b;
        c3 = (u32)a;
        c0 = next0;
        c2 = next2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (double)(((u64)c0 << 32 | c1) >> 11) / 9007199254740992.0;
}

// What the threads of a block share.
struct Shared {
    float tops[256];
    u32 finite, token, left, taken;
    u32 digits[256];
    u64 prefix, cutoff;
    double sum;
    double parts[256];
    float span[SPAN];
    u64 keys[CHUNK];
};

// The largest of `x`, or NaN where one is not finite.
__device__ inline float largest(Shared &s, const float *x, u32 count) {
    float top = LEAST;
    if (threadIdx.x == 0) s.finite = 1;
    __syncthreads();
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) {
        if (!(fabsf(x[i]) <= -LEAST)) s.finite = 0;
        top = larger(top, x[i]);
    }
    s.tops[threadIdx.x] = top;
    __syncthreads();
    for (u32 i = 0; i < blockDim.x; i++) top = larger(top, s.tops[i]);
    if (!s.finite) top = __uint_as_float(0x7fc00000u);
    __syncthreads();
    return top;
}

// to = e^((from - top) * factor), zeros behind `count` up to whole spans.
__device__ inline void weigh(const float *from, float top, float factor, u32 count, u32 padded, float *to) {
    for (u32 i = threadIdx.x; i < padded; i += blockDim.x) to[i] = i < count ? exp_lane((from[i] - top) * factor) : 0.0f;
    __syncthreads();
}

// Brings the sums of spans from `from` on into shared memory, 256 at most; returns how many.
__device__ inline u32 load_parts(Shared &s, const double *sums, u32 padded, u32 from) {
    u32 count = padded / SPAN - from < 256 ? padded / SPAN - from : 256;
    for (u32 b = threadIdx.x; b < count; b += blockDim.x) s.parts[b] = sums[from + b];
    __syncthreads();
    return count;
}

// The sum of all weights, which each thread adds up in the same order; that of each span stays in `sums`.
__device__ inline double sum_of(Shared &s, const float *weights, u32 padded, double *sums) {
    for (u32 b = threadIdx.x; b < padded / SPAN; b += blockDim.x) {
        float lanes[LANES];
        for (u32 l = 0; l < LANES; l++) {
            lanes[l] = 0.0f;
            for (u32 i = l; i < SPAN; i += LANES) lanes[l] = lanes[l] + weights[b * SPAN + i];
        }
        sums[b] = (double)total(lanes);
    }
    __syncthreads();
    double sum = 0.0;
    for (u32 from = 0; from < padded / SPAN; from += 256) {
        u32 count = load_parts(s, sums, padded, from);
        for (u32 b = 0; b < count; b++) sum += s.parts[b];
        __syncthreads();
    }
    return sum;
}

// Tokens in the order of their weights, the largest first, the lower id of equals.
__device__ inline u64 key_of(float weight, u32 token) { return (u64)~__float_as_uint(weight) << 32 | token; }

// The `number`-th smallest key, from 1, of tokens of at least `floor` whose keys are above `above` (all if `all`): digit by digit, from
// the highest eight bits.
__device__ inline u64 nth_key(Shared &s, const float *weights, u32 padded, float floor, u32 all, u64 above, u32 number) {
    if (threadIdx.x == 0) {
        s.prefix = 0;
        s.left = number;
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (u32 i = threadIdx.x; i < 256; i += blockDim.x) s.digits[i] = 0;
        __syncthreads();
        for (u32 i = threadIdx.x; i < padded; i += blockDim.x) {
            u64 key = key_of(weights[i], i);
            bool alike = shift == 56 || key >> (shift + 8) == s.prefix >> (shift + 8);
            if (weights[i] >= floor && (all || key > above) && alike) atomicAdd(&s.digits[key >> shift & 255], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            u32 digit = 0;
            while (digit < 255 && s.digits[digit] < s.left) s.left -= s.digits[digit++];
            s.prefix |= (u64)digit << shift;
        }
        __syncthreads();
    }
    u64 key = s.prefix;
    __syncthreads();
    return key;
}

// Sorts the keys of a chunk.
__device__ inline void sort_chunk(Shared &s) {
    for (u32 size = 2; size <= CHUNK; size *= 2)
        for (u32 step = size / 2; step > 0; step /= 2) {
            for (u32 i = threadIdx.x; i < CHUNK; i += blockDim.x) {
                u32 other = i ^ step;
                if (other <= i) continue;
                bool ascending = (i & size) == 0;
                if ((s.keys[i] > s.keys[other]) == ascending) {
                    u64 key = s.keys[i];
                    s.keys[i] = s.keys[other];
                    s.keys[other] = key;
                }
            }
            __syncthreads();
        }
}

// Keeps the fewest tokens, the most probable first, whose weights reach `top_p` of their sum: sorted and added up a chunk at a time.
__device__ inline void keep_top_p(Shared &s, float *weights, u32 padded, double top_p, double *sums) {
    double all = sum_of(s, weights, padded, sums), reach = top_p * all;
    // Tokens too improbable to matter, even all together, are left out.
    float floor = (float)((1.0 - top_p) * all / (double)padded);
    if (threadIdx.x == 0) {
        s.sum = 0.0;
        s.cutoff = 0;
    }
    __syncthreads();
    for (u32 chunk = 0;; chunk++) {
        u64 above = s.cutoff;
        for (u32 i = threadIdx.x; i < CHUNK; i += blockDim.x) s.keys[i] = ~0ull;
        if (threadIdx.x == 0) s.taken = 0;
        u64 last = nth_key(s, weights, padded, floor, chunk == 0, above, CHUNK);
        for (u32 i = threadIdx.x; i < padded; i += blockDim.x) {
            u64 key = key_of(weights[i], i);
            if (weights[i] >= floor && (chunk == 0 || key > above) && key <= last) {
                u32 at = atomicAdd(&s.taken, 1u);
                if (at < CHUNK) s.keys[at] = key;
            }
        }
        __syncthreads();
        sort_chunk(s);
        if (threadIdx.x == 0) {
            s.token = 0; // becomes 1 when enough is kept
            for (u32 i = 0; i < CHUNK && s.keys[i] != ~0ull && !s.token; i++) {
                s.sum += (double)__uint_as_float(~(u32)(s.keys[i] >> 32));
                s.cutoff = s.keys[i];
                s.token = s.sum >= reach;
            }
            if (s.taken < CHUNK) s.token = 1;
        }
        __syncthreads();
        u32 enough = s.token;
        __syncthreads();
        if (enough) break;
    }
    for (u32 i = threadIdx.x; i < padded; i += blockDim.x)
        if (!(weights[i] >= floor && key_of(weights[i], i) <= s.cutoff)) weights[i] = 0.0f;
    __syncthreads();
}

__device__ inline void keep_from(float *weights, u32 padded, float least) {
    for (u32 i = threadIdx.x; i < padded; i += blockDim.x)
        if (weights[i] < least) weights[i] = 0.0f;
    __syncthreads();
}

// The token whose interval of the cumulative weights holds `target`; where rounding leaves none, the last of any weight.
__device__ inline u32 token_at(Shared &s, const float *weights, u32 padded, const double *sums, double target) {
    double sum = 0.0, before = 0.0;
    u32 at = 0; // the last span of any weight, until the one that is looked for; `before` is the sum before it
    bool found = false;
    for (u32 from = 0; from < padded / SPAN && !found; from += 256) {
        u32 count = load_parts(s, sums, padded, from);
        for (u32 b = 0; b < count && !found; b++) {
            double next = sum + s.parts[b];
            found = next > target;
            if (found || next > sum) {
                at = from + b;
                before = sum;
            }
            sum = next;
        }
        __syncthreads();
    }
    for (u32 i = threadIdx.x; i < SPAN; i += blockDim.x) s.span[i] = weights[at * SPAN + i];
    __syncthreads();
    u32 last = 0;
    for (u32 i = 0; i < SPAN; i++) {
        if (!(s.span[i] > 0.0f)) continue;
        before += (double)s.span[i];
        last = at * SPAN + i;
        if (found && before > target) break;
    }
    __syncthreads();
    return last;
}

// Picks token r by `picks[r]` from row row_of[r] of `scores`, (rows, stride) with `vocab` tokens: its id in tokens[r], NONE where scores are not
// finite, and the natural logarithm of its probability at temperature 1, unfiltered, in logprobs[r]. Scratch: `work`, (rows, padded)
// and `sums`, (rows, padded / 64), with padded the vocabulary in whole spans. One block of 256 threads a row.
extern "C" __global__ void select_tokens(const float *scores, const u32 *row_of, u32 stride, u32 vocab, const Pick *picks, const u32 *seen,
                                         float *work, double *sums, u32 *tokens, float *logprobs) {
    __shared__ Shared s;
    u32 r = blockIdx.x, padded = (vocab + SPAN - 1) / SPAN * SPAN;
    Pick pick = picks[r];
    scores += (u64)row_of[r] * stride;
    work += (u64)r * padded;
    sums += (u64)r * (padded / SPAN);
    float top = largest(s, scores, vocab);
    if (!(top == top)) {
        if (threadIdx.x == 0) tokens[r] = NONE;
        return;
    }
    weigh(scores, top, 1.0f, vocab, padded, work);
    double log_total = log_wide(sum_of(s, work, padded, sums));
    if (threadIdx.x == 0) s.token = pick.forced;
    __syncthreads();
    if (pick.forced == NONE) {
        for (u32 i = threadIdx.x; i < vocab; i += blockDim.x) work[i] = scores[i];
        __syncthreads();
        for (u32 i = pick.seen_from + threadIdx.x; i < pick.seen_to; i += blockDim.x) {
            float *score = work + seen[i];
            *score = *score > 0.0f ? *score / pick.penalty : *score * pick.penalty;
        }
        __syncthreads();
        float best = largest(s, work, vocab);
        if (!(best == best)) {
            if (threadIdx.x == 0) tokens[r] = NONE;
            return;
        }
        if (pick.factor < 0.0f) {
            // The lowest id of equals.
            u32 token = threadIdx.x;
            while (token < vocab && work[token] != best) token += blockDim.x;
            atomicMin(&s.token, token);
        } else {
            weigh(work, best, pick.factor, vocab, padded, work);
            if (pick.top_k > 0 && pick.top_k < padded) {
                u64 key = nth_key(s, work, padded, 0.0f, 1, 0, pick.top_k);
                keep_from(work, padded, __uint_as_float(~(u32)(key >> 32)));
            }
            if (pick.top_p < 1.0) keep_top_p(s, work, padded, pick.top_p, sums);
            if (pick.min_p > 0.0f) keep_from(work, padded, pick.min_p);
            double target = uniform(pick.stream, pick.place) * sum_of(s, work, padded, sums);
            u32 token = token_at(s, work, padded, sums, target);
            if (threadIdx.x == 0) s.token = token;
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        tokens[r] = s.token;
        logprobs[r] = (float)(((double)scores[s.token] - (double)top) - log_total);
    }
}
