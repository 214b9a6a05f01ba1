//! Experts that are whole blocks of one dense model: copies, and MoTE's ternary ones.

use flow_model::names::Swiglu;

use super::Maker;
use crate::Error;

impl Maker<'_> {
    /// Copies. With a shared expert, it and the routed ones each give half: its gate begins half open, their outputs are halved.
    pub(super) fn copies(
        &mut self,
        block: &Swiglu,
        experts: &[Swiglu],
        shared: Option<(&Swiglu, Option<&str>)>,
    ) -> Result<(), Error> {
        let half = if shared.is_some() { 0.5 } else { 1.0 };
        let scale = half * self.enlargement();
        experts.iter().try_for_each(|expert| self.copy(0, block, expert, scale))?;
        let Some((expert, gate)) = shared else { return Ok(()) };
        gate.into_iter().for_each(|gate| self.half_open(gate));
        self.copy(0, block, expert, 1.0)
    }

    /// The block as it is, and its weights as the latent ones of ternary experts.
    pub(super) fn ternary(
        &mut self,
        block: &Swiglu,
        experts: &[Swiglu],
        shared: Option<(&Swiglu, Option<&str>)>,
    ) -> Result<(), Error> {
        let shared = shared.map(|(expert, _)| expert);
        experts.iter().chain(shared).try_for_each(|expert| self.copy(0, block, expert, 1.0))
    }
}
