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

/// The operations of one forward pass, in order. Keeps the tensors the backward pass needs.
#[derive(Default)]
pub(crate) struct Tape {
    notes: Vec<Option<Note>>,
}

/// From the gradient of a result to the gradients of what it was made of.
type Note = Box<dyn FnOnce(&Tensor) -> Result<Vec<(usize, Tensor)>>>;

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

    /// A value made of `inputs`; `backward` turns its gradient into theirs, contiguous and of their shapes.
    pub(crate) fn push<const N: usize>(
        &mut self,
        value: Tensor,
        inputs: [&Node; N],
        backward: impl FnOnce(&Tensor) -> Result<[Tensor; N]> + 'static,
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
    pub(crate) fn gradients(mut self, of: &Node, leaves: &[Node]) -> Result<Vec<Option<Tensor>>> {
        let mut gradients: Vec<Option<Tensor>> = vec![None; self.notes.len()];
        gradients[of.id] = Some(of.value.ones_like()?);
        while let Some(note) = self.notes.pop() {
            let Some(note) = note else { continue };
            let Some(gradient) = gradients[self.notes.len()].take() else { continue };
            for (id, part) in note(&gradient)? {
                gradients[id] = Some(match gradients[id].take() {
                    Some(other) => sum(&other, &part)?,
                    None => part,
                });
            }
        }
        Ok(leaves.iter().map(|leaf| gradients[leaf.id].take()).collect())
    }
}
