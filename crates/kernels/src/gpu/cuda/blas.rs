//! Products by cuBLAS, where it is installed: bf16 ones on tensor cores, f32 ones in its best order of sums.

use std::sync::Arc;

use cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType, libraryPropertyType_t,
};
use cudarc::cublas::{CudaBlas, result, sys};
use cudarc::driver::CudaStream;

use super::super::{ColumnMajor, DeviceError, LibraryProduct, Rounding};

/// cuBLAS in its default mode, which does not round f32 to TF32. On one stream it gives equal bits for equal products.
pub(super) struct Blas(CudaBlas);

impl Blas {
    /// What is installed, such as `cuBLAS 13.0.2`; `None` where nothing is.
    pub(super) fn version() -> Option<String> {
        // SAFETY: this only looks for the library; NVIDIA's has no constructor that could do harm.
        if !unsafe { sys::is_culib_present() } {
            return None;
        }
        use libraryPropertyType_t::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
        let [major, minor, patch] = [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].map(|part| {
            let mut number = 0;
            // SAFETY: the library writes one number.
            let _ = unsafe { sys::cublasGetProperty(part, &raw mut number) };
            number
        });
        Some(format!("cuBLAS {major}.{minor}.{patch}"))
    }

    /// cuBLAS on a stream, whose context serves this thread; `None` where it is not installed.
    pub(super) fn open(stream: &Arc<CudaStream>) -> Result<Option<Self>, DeviceError> {
        let failed = |error| DeviceError::Failed {
            attempt: "start cuBLAS".into(),
            reason: format!("{error}; it is installed, so that products are its own"),
        };
        Self::version().map(|_| CudaBlas::new(stream.clone()).map(Self).map_err(failed)).transpose()
    }

    /// Leaves what it holds to the process: for after a failure of the GPU, when it could not be given back.
    pub(super) fn forget(self) {
        std::mem::forget(self);
    }

    /// Starts a product, whose places were checked; `None` where an extent is too large for cuBLAS.
    pub(super) fn multiply(&self, product: &LibraryProduct) -> Option<Result<(), DeviceError>> {
        let ColumnMajor { transposed, dims, leading } = product.column_major();
        let ([m, n, k], [x_leading, y_leading, c_leading]) = (numbers(dims)?, numbers(leading)?);
        let [x_order, y_order] = transposed.map(|transposed| match transposed {
            true => cublasOperation_t::CUBLAS_OP_T,
            false => cublasOperation_t::CUBLAS_OP_N,
        });
        let compute = match product.rounding() {
            Rounding::None => cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Rounding::Bf16 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
        };
        let [x, y, c] = product.places().map(|place| place.at.0);
        let (one, zero, f32s) = (1.0f32, 0.0f32, cudaDataType::CUDA_R_32F);
        // SAFETY: the places are of allocations of this device, which live until they are freed on the library's stream, and hold matrices of
        // these extents: launchers checked them, and a test checks how they are turned into columns. The factors are read before the call
        // returns.
        let started = unsafe {
            result::gemm_ex(
                *self.0.handle(),
                x_order,
                y_order,
                m,
                n,
                k,
                (&raw const one).cast(),
                x as *const _,
                f32s,
                x_leading,
                y as *const _,
                f32s,
                y_leading,
                (&raw const zero).cast(),
                c as *mut _,
                f32s,
                c_leading,
                compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        let failed =
            |error| DeviceError::Failed { attempt: "multiply".into(), reason: format!("cuBLAS: {error}") };
        Some(started.map_err(failed))
    }
}

/// Extents as cuBLAS takes them.
fn numbers(extents: [usize; 3]) -> Option<[i32; 3]> {
    let [a, b, c] = extents.map(|extent| i32::try_from(extent).ok());
    Some([a?, b?, c?])
}
