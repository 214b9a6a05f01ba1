//! Experts that are slices of one dense block (DeepSeekMoE, arXiv 2401.06066), begun so that the mixture computes the same.
//!
//! A gated block is the sum of its slices. Routed experts come in sets that each hold every slice but the shared one; the
//! experts of a set begin with the same router weights (virtual groups, arXiv 2410.07524), so that a token visits whole sets.
//! With g slices in a set, each visited slice has 1/g of its set's weight, which enlarging the outputs by g makes up for. The
//! shared slice stands behind a gate that begins half open, its output doubled.

use std::ops::Range;

use flow_model::names::Swiglu;
use flow_model::{Config, Tensor};

use super::{Maker, MoeUpcycle, scaled};
use crate::Error;
use crate::config::require;

/// Sets must be whole, among the experts and among those that a token visits.
pub(super) fn check(dense: &Config, slices: usize, settings: &MoeUpcycle) -> Result<(), Error> {
    let width = dense.intermediate_size;
    require(
        slices > 1 && width.is_multiple_of(slices),
        "slices",
        slices,
        format!("a divisor of {width}, at least 2"),
    )?;
    let set = slices - usize::from(settings.shared_expert);
    let expected = format!("a multiple of {set}, the routed slices of the block");
    let whole = |n: usize| n.is_multiple_of(set);
    require(whole(settings.experts), "experts", settings.experts, expected.clone())?;
    // A token that need not visit whole sets would get only some slices of the block.
    require(
        settings.top_p.is_none(),
        "top_p",
        settings.top_p.unwrap_or_default(),
        "none with slices, of which whole sets are visited",
    )?;
    require(
        settings.null_experts == 0,
        "null_experts",
        settings.null_experts,
        "0 with slices, of which whole sets are visited",
    )?;
    require(whole(settings.experts_per_token), "experts_per_token", settings.experts_per_token, expected)
}

impl Maker<'_> {
    pub(super) fn slices(
        &mut self,
        slices: usize,
        block: &Swiglu,
        experts: &[Swiglu],
        shared: Option<(&Swiglu, Option<&str>)>,
    ) -> Result<(), Error> {
        let first = usize::from(shared.is_some());
        let set = slices - first;
        let scale = set as f32 * self.enlargement();
        for (e, expert) in experts.iter().enumerate() {
            self.slice(first + e % set, block, expert, scale)?;
        }
        if let Some((expert, gate)) = shared {
            self.slice(0, block, expert, 2.0)?;
            gate.into_iter().for_each(|gate| self.half_open(gate));
        }
        Ok(())
    }

    /// Copies slice `at` of the block's inner width.
    fn slice(&mut self, at: usize, from: &Swiglu, to: &Swiglu, scale: f32) -> Result<(), Error> {
        let (dense, width) = (self.dense[0], self.config.intermediate_size);
        let inner = at * width..(at + 1) * width;
        self.tensors.insert(to.gate.clone(), rows(dense.tensor(&from.gate)?, inner.clone()));
        self.tensors.insert(to.up.clone(), rows(dense.tensor(&from.up)?, inner.clone()));
        self.tensors.insert(to.down.clone(), scaled(&columns(dense.tensor(&from.down)?, inner), scale));
        Ok(())
    }
}

fn rows(matrix: &Tensor, rows: Range<usize>) -> Tensor {
    let width = matrix.shape[1];
    Tensor::new([rows.len(), width], &matrix.data[rows.start * width..rows.end * width])
}

fn columns(matrix: &Tensor, columns: Range<usize>) -> Tensor {
    let data: Vec<f32> =
        matrix.data.chunks_exact(matrix.shape[1]).flat_map(|row| &row[columns.clone()]).copied().collect();
    Tensor::new([matrix.shape[0], columns.len()], data)
}
