// Runs the kernels of this folder on a CPU, as tests do: each thread of a block is a fiber, blocks run one after the other.
//
// The sources are compiled as C++ with blocks, threads, shared memory and barriers in the place of CUDA's. The program answers commands
// on its standard input: A allocate, F free, W write, R read, L launch; all numbers are little-endian. It is strict: threads must reach the same
// barrier; fresh memory, and the shared memory of every block, holds no numbers (all bits set); what is around an allocation is looked at
// after every launch. Blocks, and between barriers their threads, run in ascending or descending order, as the launch says: most kernels
// that miss a barrier give other results in one of the two.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <link.h>
#include <map>
#include <setjmp.h>
#include <string>
#include <ucontext.h>
#include <utility>
#include <vector>

struct Index {
    unsigned x, y, z;
};

static Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

constexpr size_t STACK = 64 << 10;

// A thread of the block that runs: its stack, and where it goes on.
struct Fiber {
    std::vector<char> stack = std::vector<char>(STACK);
    ucontext_t start;
    jmp_buf place;
    bool started = false, done = false;
    int barrier = 0;
};

static std::vector<Fiber *> fibers;
static Fiber *running;
static jmp_buf scheduler;
static void (*body)();

static void enter() {
    for (;;) {
        body();
        running->done = true;
        if (!_setjmp(running->place)) _longjmp(scheduler, 1);
    }
}

static void barrier(int line) {
    running->barrier = line;
    if (!_setjmp(running->place)) _longjmp(scheduler, 1);
}

static void resume(Fiber *fiber, unsigned thread) {
    threadIdx = {thread, 0, 0};
    running = fiber;
    if (_setjmp(scheduler)) return;
    if (fiber->started) _longjmp(fiber->place, 1);
    fiber->started = true;
    getcontext(&fiber->start);
    fiber->start.uc_stack.ss_sp = fiber->stack.data();
    fiber->start.uc_stack.ss_size = STACK;
    fiber->start.uc_link = nullptr;
    makecontext(&fiber->start, enter, 0);
    setcontext(&fiber->start);
}

// Shared memory is all that this program keeps in its thread-local storage: where that is, and how long.
static std::pair<void *, size_t> shared_memory() {
    std::pair<void *, size_t> found{nullptr, 0};
    auto look = [](dl_phdr_info *info, size_t, void *found) { // the program itself comes first
        for (unsigned i = 0; i < info->dlpi_phnum; i++)
            if (info->dlpi_phdr[i].p_type == PT_TLS)
                *(std::pair<void *, size_t> *)found = {info->dlpi_tls_data, info->dlpi_phdr[i].p_memsz};
        return 1;
    };
    dl_iterate_phdr(look, &found);
    return found;
}

// Runs one block; returns what is wrong with its barriers. What blocks before it left in shared memory is not seen.
static std::string run_block(unsigned threads, bool descending) {
    static const auto [shared, bytes] = shared_memory();
    memset(shared, 0xff, bytes);
    while (fibers.size() < threads) fibers.push_back(new Fiber);
    for (unsigned t = 0; t < threads; t++) fibers[t]->done = false;
    for (;;) {
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = descending ? threads - 1 - i : i;
            fibers[t]->barrier = 0;
            resume(fibers[t], t);
        }
        unsigned done = 0;
        for (unsigned t = 0; t < threads; t++) {
            done += fibers[t]->done;
            if (fibers[t]->done != fibers[0]->done || fibers[t]->barrier != fibers[0]->barrier)
                return "threads of a block wait at different barriers";
        }
        if (done == threads) return "";
    }
}

template <auto kernel> struct Call;

template <typename... A, void (*kernel)(A...)> struct Call<kernel> {
    static inline const char *arguments;

    template <typename T> static T argument(size_t offset) {
        T value;
        memcpy(&value, arguments + offset, sizeof(T));
        return value;
    }

    // Arguments stand one after the other, each at a multiple of eight bytes.
    template <size_t... I> static void call(std::index_sequence<I...>) {
        constexpr size_t sizes[] = {((sizeof(A) + 7) / 8 * 8)..., 0};
        auto offset = [&](size_t i) {
            size_t sum = 0;
            while (i > 0) sum += sizes[--i];
            return sum;
        };
        kernel(argument<A>(offset(I))...);
    }

    static void run() { call(std::index_sequence_for<A...>()); }

    static size_t size() { return (((sizeof(A) + 7) / 8 * 8) + ... + 0); }
};

struct Kernel {
    void (*run)();
    size_t (*size)();
    const char **arguments;
};

} // namespace emulator

#define __global__
#define __device__
#define __launch_bounds__(threads)
#define __shared__ static thread_local
#define __syncthreads() emulator::barrier(__LINE__)

static inline float __uint_as_float(unsigned x) {
    float y;
    memcpy(&y, &x, 4);
    return y;
}

static inline unsigned __float_as_uint(float x) {
    unsigned y;
    memcpy(&y, &x, 4);
    return y;
}

static inline double __longlong_as_double(long long x) {
    double y;
    memcpy(&y, &x, 8);
    return y;
}

static inline long long __double_as_longlong(double x) {
    long long y;
    memcpy(&y, &x, 8);
    return y;
}

static inline unsigned atomicAdd(unsigned *to, unsigned x) {
    unsigned before = *to;
    *to += x;
    return before;
}

static inline unsigned atomicMin(unsigned *to, unsigned x) {
    unsigned before = *to;
    if (x < before) *to = x;
    return before;
}

#include "common.cuh"
#include "rows.cu"
#include "product.cu"
#include "attention.cu"
#include "experts.cu"
#include "select.cu"
#include "learn_rows.cu"
#include "learn_products.cu"
#include "learn_attention.cu"
#include "learn_update.cu"

namespace emulator {

#define KERNEL(NAME) {#NAME, {Call<NAME>::run, Call<NAME>::size, &Call<NAME>::arguments}}

static const std::map<std::string, Kernel> KERNELS = {
    KERNEL(embed_f32),         KERNEL(embed_bf16),        KERNEL(embed_int8),       KERNEL(rms_norm),
    KERNEL(add_rows),          KERNEL(gather_rows),       KERNEL(soft_cap),         KERNEL(gate),
    KERNEL(round_rows),        KERNEL(product_f32_many),  KERNEL(product_f32_few),  KERNEL(product_bf16_many),
    KERNEL(product_bf16_few),  KERNEL(product_int8_many), KERNEL(product_int8_few), KERNEL(place),
    KERNEL(attend),            KERNEL(copy_blocks),       KERNEL(mix_attentions),   KERNEL(route),
    KERNEL(group_visits),      KERNEL(combine),           KERNEL(select_tokens),
    KERNEL(product_ternary_many),       KERNEL(product_ternary_few),        KERNEL(product_int4_many),
    KERNEL(product_int4_few),
    KERNEL(sum_numbers),                KERNEL(norm_rows),                  KERNEL(norm_rows_back),
    KERNEL(norm_weight_back),           KERNEL(sum_chunks),                 KERNEL(gate_back),
    KERNEL(soft_cap_back),              KERNEL(clip_numbers),
    KERNEL(scatter_rows),               KERNEL(scale_rows),                 KERNEL(dot_rows),
    KERNEL(mix_rows),                   KERNEL(mix_rows_back),              KERNEL(predict_rows),
    KERNEL(predict_rows_back),          KERNEL(learn_product),              KERNEL(absolute_sums),
    KERNEL(ternary_values),             KERNEL(add_columns),                KERNEL(take_columns),
    KERNEL(adamw),                      KERNEL(square_sums),                KERNEL(sum_wide),
    KERNEL(attention_1),                KERNEL(attention_2),                KERNEL(attention_4),
    KERNEL(attention_query_back_1),     KERNEL(attention_query_back_2),     KERNEL(attention_query_back_4),
    KERNEL(attention_key_back_1),       KERNEL(attention_key_back_2),       KERNEL(attention_key_back_4),
};

// Bytes around an allocation that nothing may touch.
constexpr size_t MARGIN = 256;

static std::map<uint64_t, size_t> allocations;

static std::string overrun() {
    for (auto [address, bytes] : allocations) {
        const unsigned char *from = (const unsigned char *)address;
        for (size_t i = 0; i < MARGIN; i++)
            if (from[-1 - (long)i] != 0xff || from[bytes + i] != 0xff) return "a kernel wrote beside an allocation";
    }
    return "";
}

template <typename T> static T take() {
    T value;
    if (fread(&value, sizeof value, 1, stdin) != 1) exit(0);
    return value;
}

template <typename T> static void give(T value) { fwrite(&value, sizeof value, 1, stdout); }

static std::string launch() {
    std::vector<char> name(take<uint32_t>());
    if (fread(name.data(), 1, name.size(), stdin) != name.size()) exit(0);
    Index grid;
    grid.x = take<uint32_t>();
    grid.y = take<uint32_t>();
    grid.z = take<uint32_t>();
    gridDim = grid;
    unsigned threads = take<uint32_t>();
    bool descending = take<uint32_t>() != 0;
    std::vector<char> arguments(take<uint32_t>());
    if (fread(arguments.data(), 1, arguments.size(), stdin) != arguments.size()) exit(0);
    auto found = KERNELS.find(std::string(name.begin(), name.end()));
    if (found == KERNELS.end()) return "there is no kernel of this name";
    const Kernel &kernel = found->second;
    if (kernel.size() != arguments.size()) return "the arguments are not those of the kernel";
    if (threads == 0 || threads > 1024) return "a block has 1 to 1,024 threads";
    *kernel.arguments = arguments.data();
    body = kernel.run;
    blockDim = {threads, 1, 1};
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t block = descending ? blocks - 1 - i : i;
        blockIdx = {unsigned(block % grid.x), unsigned(block / grid.x % grid.y), unsigned(block / grid.x / grid.y)};
        std::string fault = run_block(threads, descending);
        if (!fault.empty()) return fault;
    }
    return overrun();
}

} // namespace emulator

int main() {
    using namespace emulator;
    for (;;) {
        switch (take<char>()) {
        case 'A': {
            size_t bytes = take<uint64_t>();
            char *memory = (char *)aligned_alloc(MARGIN, (bytes + 3 * MARGIN) / MARGIN * MARGIN);
            memset(memory, 0xff, (bytes + 3 * MARGIN) / MARGIN * MARGIN);
            allocations[(uint64_t)(memory + MARGIN)] = bytes;
            give((uint64_t)(memory + MARGIN));
            break;
        }
        case 'F': {
            uint64_t address = take<uint64_t>();
            allocations.erase(address);
            free((char *)address - MARGIN);
            break;
        }
        case 'W': {
            char *to = (char *)take<uint64_t>();
            size_t bytes = take<uint64_t>();
            if (fread(to, 1, bytes, stdin) != bytes) return 0;
            break;
        }
        case 'R': {
            const char *from = (const char *)take<uint64_t>();
            size_t bytes = take<uint64_t>();
            fwrite(from, 1, bytes, stdout);
            break;
        }
        case 'L': {
            std::string fault = launch();
            give((uint32_t)fault.size());
            fwrite(fault.data(), 1, fault.size(), stdout);
            break;
        }
        }
        fflush(stdout);
    }
}
