// A mixture of experts: which experts each row visits, where its visits stand among all, and the sum of what they answer.
//
// Row r has up to `most` visits, at r * most in `experts`, `weights` and `places`, by ascending expert; visits[r] says how many. Visits
// of an expert stand side by side, in the order of their rows: expert e has the places starts[e] to starts[e + 1].

// How a row chooses: 0, the `count` most probable experts; 1, the one of rank `count`; 2, the fewest whose probabilities reach `least`.
struct Routing {
    double least;
    u32 kind, count;
};

// Chooses by the softmax of a row of router `logits`, (rows, width) of which `count` are experts', plus `bias`, null for none; the lower index
// first of equals. What is no number is ranked too, so that the experts chosen are always experts. Of the chosen ones those below `computing`
// are visited. One block of 128 threads a row.
extern "C" __global__ void route(float *logits, const float *bias, u32 count, u32 computing, u32 width, const Routing *routings,
                                 u32 renormalise, u32 most, u32 *experts, float *weights, u32 *visits) {
    __shared__ float lanes[LANES];
    __shared__ u32 order[1024];
    __shared__ u32 first, end;
    u32 r = blockIdx.x;
    float *p = logits + (u64)r * width;
    for (u32 i = count + threadIdx.x; i < width; i += blockDim.x) p[i] = LEAST;
    __syncthreads();
    softmax_row(p, width, lanes);
    for (u32 e = threadIdx.x; e < count; e += blockDim.x) {
        u32 rank = 0;
        for (u32 other = 0; other < count; other++) {
            u32 there = place_of((bias ? bias[other] : 0.0f) + p[other]), here = place_of((bias ? bias[e] : 0.0f) + p[e]);
            rank += there > here || (there == here && other < e);
        }
        order[rank] = e;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        Routing routing = routings[r];
        u32 number = routing.count < count ? routing.count : count;
        first = routing.kind == 1 ? number - 1 : 0;
        end = number;
        if (routing.kind == 2) {
            double sum = 0.0;
            for (end = 0; end < count && !(sum >= routing.least); end++) sum += (double)p[order[end]];
        }
        float sum = 0.0f;
        u32 visited = 0;
        for (u32 i = first; i < end; i++) {
            if (order[i] >= computing) continue;
            sum = sum + p[order[i]];
            visited++;
        }
        if (!renormalise || sum == 0.0f) sum = 1.0f;
        // The visited ones by ascending expert: each goes behind those below it.
        for (u32 i = first; i < end; i++) {
            if (order[i] >= computing) continue;
            u32 at = 0;
            for (u32 j = first; j < end; j++) at += order[j] < order[i];
            experts[(u64)r * most + at] = order[i];
            weights[(u64)r * most + at] = p[order[i]] / sum;
        }
        visits[r] = visited;
    }
}

// Gives each visit its place, and each place its row, 0 where there is no visit. One block of 1 to 1,024 threads for all rows.
extern "C" __global__ void group_visits(const u32 *experts, const u32 *visits, u32 rows, u32 most, u32 count, u32 *starts, u32 *places,
                                        u32 *row_of) {
    for (u32 e = threadIdx.x; e < count; e += blockDim.x) {
        u32 number = 0;
        for (u32 r = 0; r < rows; r++)
            for (u32 v = 0; v < visits[r]; v++) number += experts[(u64)r * most + v] == e;
        starts[e + 1] = number;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        starts[0] = 0;
        for (u32 e = 0; e < count; e++) starts[e + 1] += starts[e];
    }
    __syncthreads();
    for (u32 e = threadIdx.x; e < count; e += blockDim.x) {
        u32 place = starts[e];
        for (u32 r = 0; r < rows; r++)
            for (u32 v = 0; v < visits[r]; v++)
                if (experts[(u64)r * most + v] == e) {
                    places[(u64)r * most + v] = place;
                    row_of[place++] = r;
                }
    }
    for (u32 i = starts[count] + threadIdx.x; i < rows * most; i += blockDim.x) row_of[i] = 0;
}

// out[r] += sum of weight * answer over the visits of row r, then of the shared expert's answer times the sigmoid of its gate, or times
// one where there is no gate. `shared` is null for none. One block a row.
extern "C" __global__ void combine(const float *answers, const float *weights, const u32 *places, const u32 *visits, u32 most, u32 stride,
                                   const float *shared, const float *gates, u32 gate_stride, float *out) {
    u32 r = blockIdx.x;
    float opened = 1.0f;
    if (gates) opened = (float)(1.0 / (1.0 + exp_wide(-(double)gates[(u64)r * gate_stride])));
    for (u32 i = threadIdx.x; i < stride; i += blockDim.x) {
        float sum = 0.0f;
        for (u32 v = 0; v < visits[r]; v++)
            sum = sum + weights[(u64)r * most + v] * answers[(u64)places[(u64)r * most + v] * stride + i];
        if (shared) sum = sum + opened * shared[(u64)r * stride + i];
        float *to = out + (u64)r * stride + i;
        *to = *to + sum;
    }
}
