//! Large matrix products, each on the thread that asks for it, or on the device of its operands.
//!
//! candle's own product reads `/proc/cpuinfo` at every call to find how many threads it may take, fills the result with zeros
//! that are never read, and shares out its work in a pool of one. The products here do none of that, to the same bits.
//!
//! On a device there are several kinds: see [`Kind`].

use std::sync::Arc;

use candle_core::{Result, bail};
use flow_kernels::gpu::{Groups, Rounding, Stored};

use crate::device::Array;
use crate::ops::{elements, tensor};
use crate::tensor::Tensor;

/// What a product on a device heeds; on the CPU all are alike.
#[derive(Clone, Default)]
pub(crate) enum Kind {
    /// Operands are rounded as the device is told to.
    #[default]
    Plain,
    /// Operands are not rounded: for routers and gates, where little decides much.
    Exact,
    /// Rows are in groups, each with a matrix of its own out of a stack: those of experts.
    ByGroup(Arc<Groups>),
}

impl Kind {
    fn rounding(&self, a: &Array) -> Rounding {
        if let Self::Exact = self { Rounding::None } else { a.device().rounding() }
    }
}

/// `a` (M, K) · `b` (K, N), to (M, N); in groups, `b` is (E, K, N).
///
/// # Errors
/// When the shapes do not fit, or a tensor is not contiguous f32 on the CPU; so too of the other products.
pub(crate) fn matmul(a: &Tensor, b: &Tensor, kind: &Kind) -> Result<Tensor> {
    if let (Tensor::Device(a), Tensor::Device(b)) = (a, b) {
        return on_device(a, b, Stored::Plain, kind);
    }
    product((a, Stored::Plain), (b, Stored::Plain))
}

/// `a` (M, K) · `b`ᵀ, with `b` (N, K), to (M, N); in groups, `b` is (E, N, K).
pub(crate) fn matmul_bt(a: &Tensor, b: &Tensor, kind: &Kind) -> Result<Tensor> {
    if let (Tensor::Device(a), Tensor::Device(b)) = (a, b) {
        return on_device(a, b, Stored::Transposed, kind);
    }
    product((a, Stored::Plain), (b, Stored::Transposed))
}

/// `a`ᵀ · `b`, with `a` (K, M) and `b` (K, N), to (M, N); in groups of the K rows, to (E, M, N).
pub(crate) fn matmul_at(a: &Tensor, b: &Tensor, kind: &Kind) -> Result<Tensor> {
    let (Tensor::Device(x), Tensor::Device(y)) = (a, b) else {
        return product((a, Stored::Transposed), (b, Stored::Plain));
    };
    let ((k, m), (depth, n), xs, ys) = (a.dims2()?, b.dims2()?, x.numbers(), y.numbers());
    if k != depth {
        bail!("a product of ({m}, {k}) and ({depth}, {n})")
    }
    let (device, rounding) = (x.device(), kind.rounding(x));
    match kind {
        Kind::Plain | Kind::Exact => device.make(&[m, n], |gpu, out| {
            gpu.product([m, k, n], (&xs, Stored::Transposed), (&ys, Stored::Plain), rounding, out)
        }),
        Kind::ByGroup(groups) => device.make(&[groups.count(), m, n], |gpu, out| {
            gpu.product_over_groups(groups, [m, n], &xs, &ys, rounding, out)
        }),
    }
}

/// Rows times a matrix, or times that of their group.
fn on_device(a: &Array, b: &Array, stored: Stored, kind: &Kind) -> Result<Tensor> {
    let [.., m, k] = *a.dims() else { bail!("a product of a vector") };
    let [.., rows, columns] = *b.dims() else { bail!("a product with a vector") };
    let (inner, n) = if stored == Stored::Plain { (rows, columns) } else { (columns, rows) };
    if k != inner {
        bail!("a product of ({m}, {k}) and ({inner}, {n})")
    }
    let (xs, ws, rounding) = (a.numbers(), b.numbers(), kind.rounding(a));
    a.device().make(&[m, n], |gpu, out| match kind {
        Kind::Plain | Kind::Exact => {
            gpu.product([m, k, n], (&xs, Stored::Plain), (&ws, stored), rounding, out)
        }
        Kind::ByGroup(groups) => gpu.product_by_group(groups, [k, n], &xs, (&ws, stored), rounding, out),
    })
}

fn product(a: (&Tensor, Stored), b: (&Tensor, Stored)) -> Result<Tensor> {
    let ((m, k), a_strides) = layout(a)?;
    let ((of_b, n), b_strides) = layout(b)?;
    if k != of_b {
        bail!("a product of ({m}, {k}) and ({of_b}, {n})")
    }
    let (a, b) = (elements(a.0)?, elements(b.0)?);
    tensor(gemm([m, k, n], (&a, a_strides), (&b, b_strides)), (m, n))
}

/// Rows and columns as read, and how far apart neighbours in a row and in a column are.
fn layout((x, read): (&Tensor, Stored)) -> Result<((usize, usize), [isize; 2])> {
    let (rows, columns) = x.dims2()?;
    let width = columns as isize;
    Ok(match read {
        Stored::Plain => ((rows, columns), [1, width]),
        Stored::Transposed => ((columns, rows), [width, 1]),
    })
}

/// The product of an (m, k) and a (k, n) matrix, each with its strides along a row and along a column.
#[expect(
    unsafe_code,
    reason = "the library's only interface; it also spares filling the result before it is written"
)]
fn gemm([m, k, n]: [usize; 3], a: (&[f32], [isize; 2]), b: (&[f32], [isize; 2])) -> Vec<f32> {
    assert!(a.0.len() == m * k && b.0.len() == k * n, "operands are whole matrices");
    let mut c: Vec<f32> = Vec::with_capacity(m * n);
    let ([a_column, a_row], [b_column, b_row]) = (a.1, b.1);
    // SAFETY: `a` and `b` hold m·k and k·n numbers, all of which and no others their strides reach; `c` has room for m·n, nobody
    // else has seen it, and the product writes every one (zeros where k is 0) without reading any before.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.0.as_ptr(),
            a_column,
            a_row,
            b.0.as_ptr(),
            b_column,
            b_row,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
        c.set_len(m * n);
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    type Candle = candle_core::Tensor;

    fn random(rows: usize, columns: usize, seed: usize) -> Candle {
        let numbers = (0..rows * columns).map(|i| ((i * 7919 + seed * 31) % 101) as f32 / 50.0 - 1.0);
        let numbers: Vec<f32> = numbers.collect();
        Candle::from_vec(numbers, (rows, columns), &candle_core::Device::Cpu).expect("a tensor")
    }

    fn bits(x: &Candle) -> Vec<u32> {
        let numbers = x.flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("numbers");
        numbers.iter().map(|x| x.to_bits()).collect()
    }

    type Product = fn(&Tensor, &Tensor, &Kind) -> Result<Tensor>;

    /// The bits of the product of two matrices as they are stored.
    fn found(product: Product, a: &Candle, b: &Candle) -> Vec<u32> {
        let stored = |x: &Candle| Tensor::Host(x.contiguous().expect("a contiguous tensor"));
        let product = product(&stored(a), &stored(b), &Kind::Plain).and_then(|product| product.to_vec());
        product.expect("a product").iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn products_have_the_bits_of_candle() {
        for [m, k, n] in
            [[1, 1, 1], [1, 37, 5], [19, 64, 1], [33, 17, 70], [130, 352, 96], [0, 4, 3], [600, 128, 381]]
        {
            let (a, b) = (random(m, k, 1), random(k, n, 2));
            let stored = |x: &Candle| x.t().and_then(|x| x.contiguous()).expect("a transposed tensor");
            let (a_t, b_t) = (stored(&a), stored(&b));
            let transposed = |x: &Candle| x.t().expect("a transposed view");
            let expected = |a: &Candle, b: &Candle| bits(&a.matmul(b).expect("a product"));
            assert_eq!(found(matmul, &a, &b), expected(&a, &b), "a·b, {m} {k} {n}");
            assert_eq!(found(matmul_bt, &a, &b_t), expected(&a, &transposed(&b_t)), "a·bᵀ, {m} {k} {n}");
            assert_eq!(found(matmul_at, &a_t, &b), expected(&transposed(&a_t), &b), "aᵀ·b, {m} {k} {n}");
        }
    }

    #[test]
    fn an_empty_inner_dimension_gives_zeros_and_shapes_that_do_not_fit_an_error() {
        assert_eq!(found(matmul, &random(2, 0, 1), &random(0, 3, 1)), [0; 6]);
        let matrix = || Tensor::Host(random(2, 3, 1));
        let error = matmul(&matrix(), &matrix(), &Kind::Plain).err().expect("3 columns, 2 rows").to_string();
        assert!(error.contains("(2, 3) and (2, 3)"), "{error}");
    }
}
