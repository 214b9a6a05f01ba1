//! Reverse-mode differentiation: every operation leaves a note of how its gradient flows back.
//!
//! candle's own backward pass fills every gradient with zeros before it adds to it, and its elementwise operations share
//! one pool per process, where slices computed side by side wait for each other. Here a gradient is moved, not added,
//! unless a value was used twice; and an operation without a backward pass cannot be written.

use candle_core::{Result, Tensor};

use crate::ops::sum;

/// A value on a tape.
#[derive(Clone)]
pub(crate) struct Node {
    id: usize,
    /// The value itself.
    pub(crate) value: Tensor,
    /// Whether it rests on anything that learns; its gradient is not asked for otherwise.
    pub(crate) learns: bool,
}

/// The operations of one forward pass, in order, and the tensors their backward passes need; then, as these are run from the last
/// on, the gradients that are still to flow on.
#[derive(Default)]
pub(crate) struct Tape {
    notes: Vec<Option<Note>>,
    gradients: Vec<Option<Tensor>>,
}

/// From the gradient of a result to the gradients of what it was made of.
type Note = Box<dyn FnOnce(&Tensor) -> Result<Vec<(usize, Tensor)>> + Send>;

impl Tape {
    /// A value that nothing was recorded for, such as a parameter.
    pub(crate) fn leaf(&mut self, value: Tensor) -> Node {
        self.notes.push(None);
        Node { id: self.notes.len() - 1, value, learns: true }
    }

    /// A value that does not learn, such as a frozen parameter.
    pub(crate) fn constant(&mut self, value: Tensor) -> Node {
        Node { learns: false, ..self.leaf(value) }
    }

    /// A value that nothing was recorded for, which learns or does not.
    pub(crate) fn input(&mut self, value: Tensor, learns: bool) -> Node {
        if learns { self.leaf(value) } else { self.constant(value) }
    }

    /// A value made of `inputs`; `backward` turns its gradient into theirs, contiguous and of their shapes.
    pub(crate) fn push<const N: usize>(
        &mut self,
        value: Tensor,
        inputs: [&Node; N],
        backward: impl FnOnce(&Tensor) -> Result<[Tensor; N]> + Send + 'static,
    ) -> Node {
        if inputs.iter().all(|node| !node.learns) {
            return self.constant(value);
        }
        let to = inputs.map(|node| node.learns.then_some(node.id));
        let wanted = move |(to, part): (Option<usize>, Tensor)| to.map(|id| (id, part));
        self.notes.push(Some(Box::new(move |gradient| {
            Ok(to.into_iter().zip(backward(gradient)?).filter_map(wanted).collect())
        })));
        Node { id: self.notes.len() - 1, value, learns: true }
    }

    /// The gradients of the scalar `of` with respect to `leaves`; none where it does not depend on one.
    #[cfg(test)]
    pub(crate) fn gradients(mut self, of: &Node, leaves: &[Node]) -> Result<Vec<Option<Tensor>>> {
        self.flow_in(of, of.value.ones_like()?)?;
        self.rest(leaves)
    }

    /// Adds to the gradient of `node`.
    pub(crate) fn flow_in(&mut self, node: &Node, gradient: Tensor) -> Result<()> {
        self.gradients.resize(self.gradients.len().max(node.id + 1), None);
        self.add(node.id, gradient)
    }

    /// Runs back to `node`: the gradient of it that comes from all that was recorded later.
    pub(crate) fn back_to(&mut self, node: &Node) -> Result<Option<Tensor>> {
        self.run_back(node.id + 1)?;
        Ok(self.gradients.get_mut(node.id).and_then(Option::take))
    }

    /// Runs back to the beginning: the gradients of `leaves`.
    pub(crate) fn rest(mut self, leaves: &[Node]) -> Result<Vec<Option<Tensor>>> {
        self.run_back(0)?;
        Ok(leaves.iter().map(|leaf| self.gradients.get_mut(leaf.id).and_then(Option::take)).collect())
    }

    fn run_back(&mut self, to: usize) -> Result<()> {
        for at in (to..self.notes.len()).rev() {
            let Some(note) = self.notes.pop().flatten() else { continue };
            let Some(gradient) = self.gradients.get_mut(at).and_then(Option::take) else { continue };
            for (id, part) in note(&gradient)? {
                self.add(id, part)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, id: usize, part: Tensor) -> Result<()> {
        self.gradients[id] = Some(match self.gradients[id].take() {
            Some(before) => sum(&before, &part)?,
            None => part,
        });
        Ok(())
    }
}
