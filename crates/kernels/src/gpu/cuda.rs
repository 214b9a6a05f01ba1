//! An NVIDIA GPU: the kernels compiled for it when it is taken into use, memory and launches through the driver.
//!
//! NVRTC compiles at run time, so that building needs no toolkit, and no library is loaded before a
//! device is asked for. It is told to compile what the CPU computes: no contraction of products and sums, IEEE division and square
//! root, denormal numbers kept. It must know the GPU, and be no newer than the driver. All work is put on one stream, in order. What only
//! training needs comes when it is first asked for: its kernels, and cuBLAS for products where it is installed.
#![allow(unsafe_code, reason = "the compiler can check neither memory of a device nor what a kernel does")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError,
    LaunchConfig, PushKernelArg, result, sys,
};
use cudarc::nvrtc::{self, CompileError, CompileOptions, Ptx, compile_ptx_with_opts};

use super::allocations::Allocations;
use super::{
    Address, Argument, Device, DeviceError, Found, LEARN_SOURCE, Launch, LibraryProduct, RawExtents, SOURCE,
};

mod blas;

use blas::Blas;

// SAFETY: the structure has the C layout of the kernels' structure `Extents`, and every value of its fields is one.
unsafe impl DeviceRepr for RawExtents {}

/// The kernels of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// Those of drawing.
    Draw,
    /// Those that only training needs.
    Learn,
}

impl Program {
    /// Its text.
    fn source(self) -> &'static str {
        match self {
            Self::Draw => SOURCE,
            Self::Learn => LEARN_SOURCE,
        }
    }
}

/// What was compiled in this process.
type Compiled = BTreeMap<(Program, (i32, i32)), Ptx>;

/// A GPU in use.
pub struct Cuda {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    modules: BTreeMap<Program, Arc<CudaModule>>,
    /// `None` until it is asked for; then `None` within where there is no cuBLAS.
    library: Option<Option<Blas>>,
    functions: BTreeMap<&'static str, CudaFunction>,
    allocated: BTreeMap<Address, CudaSlice<u8>>,
    taken: Allocations,
}

impl Cuda {
    /// Takes the GPU of this number, from 0, into use.
    ///
    /// # Errors
    /// There is no driver, no such GPU, no NVRTC, or the kernels do not compile for the GPU.
    pub fn new(ordinal: usize) -> Result<Self, DeviceError> {
        Self::find(ordinal)?;
        let context = CudaContext::new(ordinal).map_err(|error| missing(said(error)))?;
        let stream = context.new_stream().map_err(failed("make a stream"))?;
        // SAFETY: all memory is used on one stream, in order.
        unsafe { context.disable_event_tracking() };
        keep_memory(&context).map_err(failed("keep memory"))?;
        let mut cuda = Self {
            context,
            stream,
            modules: BTreeMap::new(),
            library: None,
            functions: BTreeMap::new(),
            allocated: BTreeMap::new(),
            taken: Allocations::default(),
        };
        cuda.module(Program::Draw)?;
        Ok(cuda)
    }

    /// The GPU of this number; nothing is taken into use.
    ///
    /// # Errors
    /// There is no driver, no such GPU, or no NVRTC.
    pub fn find(ordinal: usize) -> Result<Found, DeviceError> {
        // SAFETY: this only looks for the library; NVIDIA's has no constructor that could do harm.
        if !unsafe { sys::is_culib_present() } {
            return Err(missing("NVIDIA's driver is not installed (libcuda is not found)"));
        }
        compiler()?;
        let number = i32::try_from(ordinal).map_err(|_| missing(format!("there is no GPU {ordinal}")))?;
        let found = || {
            result::init()?;
            let device = result::device::get(number)?;
            // SAFETY: the driver has just named the device.
            let memory_bytes = unsafe { result::device::total_mem(device)? };
            Ok(Found { name: result::device::get_name(device)?, memory_bytes, library: Blas::version() })
        };
        found().map_err(|error| missing(said(error)))
    }

    /// A program compiled for GPUs of a compute capability, such as (9, 0), once in each process; this needs no GPU.
    ///
    /// # Errors
    /// There is no NVRTC, or it does not compile the kernels for this capability.
    pub fn compile(program: Program, capability: (i32, i32)) -> Result<Ptx, DeviceError> {
        static COMPILED: Mutex<Compiled> = Mutex::new(BTreeMap::new());
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ptx) = compiled.get(&(program, capability)) {
            return Ok(ptx.clone());
        }
        let ptx = Self::compile_now(program, capability)?;
        compiled.insert((program, capability), ptx.clone());
        Ok(ptx)
    }

    fn compile_now(program: Program, (major, minor): (i32, i32)) -> Result<Ptx, DeviceError> {
        compiler()?;
        let options = CompileOptions {
            ftz: Some(false),
            prec_sqrt: Some(true),
            prec_div: Some(true),
            fmad: Some(false),
            options: vec![format!("--gpu-architecture=compute_{major}{minor}"), "--std=c++17".into()],
            ..CompileOptions::default()
        };
        compile_ptx_with_opts(program.source(), options).map_err(|error| {
            let reason = match error {
                CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
                other => format!("{other:?}"),
            };
            missing(format!("NVRTC does not compile the kernels for sm_{major}{minor}: {}", reason.trim()))
        })
    }

    /// A program on the GPU; it is compiled and loaded once.
    fn module(&mut self, program: Program) -> Result<Arc<CudaModule>, DeviceError> {
        if let Some(module) = self.modules.get(&program) {
            return Ok(module.clone());
        }
        let capability = self.context.compute_capability().map_err(|error| missing(said(error)))?;
        let module = self.context.load_module(Self::compile(program, capability)?).map_err(|error| {
            missing(format!("the driver does not load what NVRTC compiled: {}", said(error)))
        })?;
        self.modules.insert(program, module.clone());
        Ok(module)
    }

    /// The kernel of this name; it is looked for once, among those of drawing first.
    fn function(&mut self, kernel: &'static str) -> Result<CudaFunction, DeviceError> {
        if let Some(function) = self.functions.get(kernel) {
            return Ok(function.clone());
        }
        let function = match self.module(Program::Draw)?.load_function(kernel) {
            Ok(function) => function,
            Err(_) => self.module(Program::Learn)?.load_function(kernel).map_err(failed(kernel))?,
        };
        self.functions.insert(kernel, function.clone());
        Ok(function)
    }

    /// Starts cuBLAS, if it is installed and was not started.
    fn open_library(&mut self) -> Result<(), DeviceError> {
        if self.library.is_none() {
            self.library = Some(Blas::open(&self.stream)?);
        }
        Ok(())
    }

    fn bind(&self) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(failed("serve this thread"))
    }
}

/// Errs where NVRTC is not installed.
fn compiler() -> Result<(), DeviceError> {
    // SAFETY: this only looks for the library; NVIDIA's compiler has no constructor that could do harm.
    match unsafe { nvrtc::sys::is_culib_present() } {
        true => Ok(()),
        false => Err(missing("NVIDIA's run-time compiler is not installed (libnvrtc is not found)")),
    }
}

fn missing(reason: impl Into<String>) -> DeviceError {
    DeviceError::Missing { device: "the GPU", reason: reason.into() }
}

fn failed(attempt: &str) -> impl FnOnce(DriverError) -> DeviceError {
    move |error| DeviceError::Failed { attempt: attempt.into(), reason: said(error) }
}

/// The driver's own words.
fn said(error: DriverError) -> String {
    error.error_string().map_or_else(|_| error.to_string(), |words| words.to_string_lossy().into_owned())
}

impl Device for Cuda {
    fn name(&self) -> String {
        self.context.name().unwrap_or_else(|_| "a GPU".into())
    }

    fn free_bytes(&self) -> Option<usize> {
        // What was freed is free when the stream has come so far.
        self.bind().and_then(|()| self.stream.synchronize().map_err(failed("wait"))).ok()?;
        let (free, _) = self.context.mem_get_info().ok()?;
        Some(free + pool(&self.context).map_or(0, kept_bytes))
    }

    fn allocate(&mut self, bytes: usize) -> Result<Address, DeviceError> {
        self.bind()?;
        // SAFETY: bytes have no invalid values; what kernels read, they or `write` wrote before.
        let memory = unsafe { self.stream.alloc::<u8>(bytes) };
        let memory = memory.map_err(failed(&format!("allocate {bytes} bytes")))?;
        let address = Address(memory.device_ptr(&self.stream).0);
        self.allocated.insert(address, memory);
        self.taken.add(address, bytes);
        Ok(address)
    }

    fn free(&mut self, at: Address) {
        self.taken.remove(at);
        // What cannot be freed after a failure of the GPU goes with the process.
        let _ = self.bind();
        self.allocated.remove(&at);
    }

    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        self.bind()?;
        self.taken.check(to, bytes.len())?;
        // SAFETY: it was checked that `bytes` fit the allocation, which lives until it is freed on this stream. They are
        // ordinary memory, which the driver has copied when it returns.
        let written = unsafe { result::memcpy_htod_async(to.0, bytes, self.stream.cu_stream()) };
        written.map_err(failed("write"))
    }

    fn read(&mut self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.bind()?;
        self.taken.check(from, bytes.len())?;
        // SAFETY: it was checked that `bytes` are of the allocation; the stream is waited for before they are used again.
        let read = unsafe { result::memcpy_dtoh_async(bytes, from.0, self.stream.cu_stream()) };
        read.and_then(|()| self.stream.synchronize()).map_err(failed("read"))
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), DeviceError> {
        self.bind()?;
        self.taken.check_launch(launch)?;
        let function = self.function(launch.kernel)?;
        let mut builder = self.stream.launch_builder(&function);
        for argument in launch.arguments {
            match argument {
                Argument::Address(number, _) | Argument::Long(number) => builder.arg(number),
                Argument::Word(number) => builder.arg(number),
                Argument::Float(number) => builder.arg(number),
                Argument::Extents(extents) => builder.arg(extents),
            };
        }
        let [x, y, z] = launch.grid;
        let config =
            LaunchConfig { grid_dim: (x, y, z), block_dim: (launch.threads, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: only this crate's launchers make launches. They give a kernel the arguments of its signature (the emulator checks
        // the same ones in tests); that its buffers are allocations of this device was checked, and the launchers gave their extents.
        let launched = unsafe { builder.launch(config) };
        launched.map(drop).map_err(failed(launch.kernel))
    }

    fn library_product(&mut self, product: &LibraryProduct) -> Option<Result<(), DeviceError>> {
        if let Err(error) = self.bind().and_then(|()| self.taken.check_product(product)) {
            return Some(Err(error));
        }
        if let Err(error) = self.open_library() {
            return Some(Err(error));
        }
        self.library.as_ref()?.as_ref()?.multiply(product)
    }

    fn library(&self) -> Option<String> {
        Blas::version()
    }

    fn prepare_to_learn(&mut self) -> Result<(), DeviceError> {
        self.bind()?;
        self.module(Program::Learn)?;
        self.open_library()
    }
}

impl Drop for Cuda {
    /// What cuBLAS and the pool hold is given back in the context of the GPU, unless that failed.
    fn drop(&mut self) {
        let _ = self.bind(); // a failure that was not told yet comes first
        let alive = self.bind().is_ok() && self.stream.synchronize().is_ok();
        if !alive && let Some(Some(library)) = self.library.take() {
            library.forget();
        }
        self.allocated.clear();
        if let Some(pool) = pool(&self.context).filter(|_| alive) {
            // SAFETY: the pool is the GPU's own; what others have in it stays.
            let _ = unsafe { result::mem_pool::trim_to(pool, 0) };
        }
    }
}

/// Where memory comes from; `None` where the GPU knows no pools.
fn pool(context: &CudaContext) -> Option<sys::CUmemoryPool> {
    // SAFETY: the device is one that the driver named.
    let pool = || unsafe { result::device::get_default_mem_pool(context.cu_device()) };
    context.has_async_alloc().then(pool)?.ok()
}

/// Lets the GPU's pool keep what is freed, for the next allocation: by default it gives all back whenever the host waits.
fn keep_memory(context: &CudaContext) -> Result<(), DriverError> {
    let Some(pool) = pool(context) else { return Ok(()) };
    let mut all = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the GPU's own; the attribute is a number of 64 bits, read before the call returns.
    unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut all).cast()).result() }
}

/// Bytes that a pool holds and nothing uses.
fn kept_bytes(pool: sys::CUmemoryPool) -> usize {
    use sys::CUmemPool_attribute::{CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, CU_MEMPOOL_ATTR_USED_MEM_CURRENT};
    let [reserved, used] =
        [CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, CU_MEMPOOL_ATTR_USED_MEM_CURRENT].map(|what| {
            let mut bytes = 0u64;
            // SAFETY: the pool is the GPU's own; the driver writes one number of 64 bits.
            let _ = unsafe { sys::cuMemPoolGetAttribute(pool, what, (&raw mut bytes).cast()) };
            bytes
        });
    usize::try_from(reserved.saturating_sub(used)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::print_stdout, reason = "a skipped test says so")]

    use super::*;

    #[test]
    fn the_kernels_compile_for_ampere_and_hopper() {
        for (program, kernel) in [(Program::Draw, "select_tokens"), (Program::Learn, "attention_4")] {
            for capability in [(8, 0), (9, 0)] {
                match Cuda::compile(program, capability) {
                    Ok(ptx) => assert!(ptx.to_src().contains(kernel)),
                    Err(DeviceError::Missing { reason, .. }) if reason.contains("not installed") => {
                        return println!("skipped: {reason}");
                    }
                    Err(error) => panic!("{capability:?}: {error}"),
                }
            }
        }
    }

    #[test]
    fn a_machine_without_a_gpu_says_so() {
        if let Err(error) = Cuda::new(0) {
            assert!(matches!(error, DeviceError::Missing { .. }), "{error}");
        }
    }
}
