//! Linear layers over weights in Hugging Face's layout (out, in): y = x·wᵀ, ∂x = ∂y·w, ∂w = ∂yᵀ·x.
//!
//! [`grouped_linear`] gives each run of rows its own weight: rows sorted by expert, one product per expert with rows.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{elements, output, tensor};

/// `x` (N, in) times the transposed weight (out, in), to (N, out).
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, Linear)
}

/// Rows `offsets[e]..offsets[e + 1]` of `x` (S, in) times the transposed `weights[e]` of (E, out, in), to (S, out).
pub(crate) fn grouped_linear(x: &Tensor, weights: &Tensor, offsets: Arc<[usize]>) -> Result<Tensor> {
    x.apply_op2(weights, GroupedLinear { offsets })
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((rows, inner), (columns, _)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        let y = s1.matmul(s2, (1, rows, columns, inner), l1, &l2.transpose(0, 1)?)?;
        Ok((y, (rows, columns).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = dy.matmul(&weight.detach())?;
        let dw = dy.t()?.matmul(&x.detach())?;
        Ok((Some(dx), Some(dw)))
    }
}

struct GroupedLinear {
    offsets: Arc<[usize]>,
}

impl GroupedLinear {
    /// Expert, first row and number of rows, where there are rows.
    fn groups(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let runs = self.offsets.windows(2).enumerate();
        runs.map(|(e, run)| (e, run[0], run[1] - run[0])).filter(|(_, _, rows)| *rows > 0)
    }
}

impl CustomOp2 for GroupedLinear {
    fn name(&self) -> &'static str {
        "grouped-linear"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((total, inner), (_, columns, _)) = (l1.shape().dims2()?, l2.shape().dims3()?);
        let mut y = vec![0.0; total * columns];
        for (e, start, rows) in self.groups() {
            let x = Layout::contiguous_with_offset((rows, inner), l1.start_offset() + start * inner);
            let weight =
                Layout::contiguous_with_offset((columns, inner), l2.start_offset() + e * columns * inner);
            let part = s1.matmul(s2, (1, rows, columns, inner), &x, &weight.transpose(0, 1)?)?;
            y[start * columns..][..rows * columns].copy_from_slice(part.as_slice()?);
        }
        Ok(output(y, (total, columns)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x, weights) = (x.detach(), weights.detach());
        let ((total, inner), (experts, columns, _)) = (x.dims2()?, weights.dims3()?);
        let (mut dx, mut dw) = (vec![0.0; total * inner], vec![0.0; experts * columns * inner]);
        for (e, start, rows) in self.groups() {
            let dy = dy.narrow(0, start, rows)?;
            let part = dy.matmul(&weights.get(e)?)?;
            dx[start * inner..][..rows * inner].copy_from_slice(&elements(&part)?);
            let part = dy.t()?.matmul(&x.narrow(0, start, rows)?)?;
            dw[e * columns * inner..][..columns * inner].copy_from_slice(&elements(&part)?);
        }
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, weights.shape())?)))
    }
}
