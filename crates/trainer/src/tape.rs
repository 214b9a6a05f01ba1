//! Reverse-mode differentiation: every operation leaves a note of how its gradient flows back.
//!
//! candle's own backward pass fills every gradient with zeros before it adds to it, and its elementwise operations share
//! one pool per process, where slices computed side by side wait for each other. Here a gradient is moved, not added,
//! unless a value was used twice; and an operation without a backward pass cannot be written.

use std::sync::Arc;

use candle_core::Result;

use crate::ops::sum;
use crate::tensor::Tensor;

/// A value on a tape.
#[derive(Clone)]
pub(crate) struct Node {
    id: usize,
    /// The value itself.
    pub(crate) value: Tensor,
    /// Whether it rests on anything that learns; its gradient is not asked for otherwise.
    pub(crate) learns: bool,
    /// How it is computed again, where that is cheaper than to keep it.
    again: Option<Again>,
}

/// Computes a value again, to the same bits.
type Again = Arc<dyn Fn() -> Result<Tensor> + Send + Sync>;

/// Where a node is on its tape; the value is not held on to.
#[derive(Clone, Copy)]
pub(crate) struct Place(usize);

/// What a backward pass keeps of a node.
pub(crate) struct Kept(Source);

enum Source {
    Value(Tensor),
    Again(Again),
}

impl Node {
    /// Lets backward passes compute it `again` instead of keeping it.
    pub(crate) fn computed(self, again: impl Fn() -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Self { again: Some(Arc::new(again)), ..self }
    }

    /// What a backward pass keeps to have the value.
    pub(crate) fn kept(&self) -> Kept {
        Kept(match &self.again {
            Some(again) => Source::Again(again.clone()),
            None => Source::Value(self.value.clone()),
        })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        Place(self.id)
    }
}

impl Kept {
    /// The value.
    pub(crate) fn value(&self) -> Result<Tensor> {
        match &self.0 {
            Source::Value(value) => Ok(value.clone()),
            Source::Again(again) => again(),
        }
    }
}

/// The operations of one forward pass, in order, and the tensors their backward passes need; then, as these are run from the last
/// on, the gradients that are still to flow on.
#[derive(Default)]
pub(crate) struct Tape<'a> {
    notes: Vec<Option<Note<'a>>>,
    gradients: Vec<Option<Tensor>>,
}

/// From the gradient of a result to the gradients of what it was made of.
type Note<'a> = Box<dyn FnOnce(&Tensor) -> Result<Vec<(usize, Tensor)>> + Send + 'a>;

impl<'a> Tape<'a> {
    /// A value that nothing was recorded for, such as a parameter.
    pub(crate) fn leaf(&mut self, value: Tensor) -> Node {
        self.notes.push(None);
        Node { id: self.notes.len() - 1, value, learns: true, again: None }
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
        backward: impl FnOnce(&Tensor) -> Result<[Tensor; N]> + Send + 'a,
    ) -> Node {
        self.push_many(value, &inputs, move |gradient| {
            Ok(backward(gradient)?.into_iter().map(Some).collect())
        })
    }

    /// The same of any number of inputs, on some of which it may not depend.
    pub(crate) fn push_many(
        &mut self,
        value: Tensor,
        inputs: &[&Node],
        backward: impl FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + 'a,
    ) -> Node {
        if inputs.iter().all(|node| !node.learns) {
            return self.constant(value);
        }
        let to: Vec<Option<usize>> = inputs.iter().map(|node| node.learns.then_some(node.id)).collect();
        self.notes.push(Some(Box::new(move |gradient| {
            let parts = to.into_iter().zip(backward(gradient)?);
            Ok(parts.filter_map(|(to, part)| Some((to?, part?))).collect())
        })));
        Node { id: self.notes.len() - 1, value, learns: true, again: None }
    }

    /// The gradients of the scalar `of` with respect to `leaves`; none where it does not depend on one.
    #[cfg(test)]
    pub(crate) fn gradients(mut self, of: &Node, leaves: &[Node]) -> Result<Vec<Option<Tensor>>> {
        self.flow_in(of.place(), crate::ops::tensor(vec![1.0; of.value.elem_count()], of.value.shape())?)?;
        self.rest(leaves.iter().map(Node::place))
    }

    /// Adds to the gradient of the node at `place`.
    pub(crate) fn flow_in(&mut self, place: Place, gradient: Tensor) -> Result<()> {
        self.gradients.resize(self.gradients.len().max(place.0 + 1), None);
        self.add(place.0, gradient)
    }

    /// Runs back to the node at `place`: the gradient of it that comes from all that was recorded later.
    pub(crate) fn back_to(&mut self, place: Place) -> Result<Option<Tensor>> {
        self.run_back(place.0 + 1)?;
        Ok(self.gradients.get_mut(place.0).and_then(Option::take))
    }

    /// Runs back to the beginning: the gradients of the nodes at `leaves`.
    pub(crate) fn rest(mut self, leaves: impl IntoIterator<Item = Place>) -> Result<Vec<Option<Tensor>>> {
        self.run_back(0)?;
        Ok(leaves.into_iter().map(|leaf| self.gradients.get_mut(leaf.0).and_then(Option::take)).collect())
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
