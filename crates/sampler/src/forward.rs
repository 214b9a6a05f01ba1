//! One pass of the model over a set of rows, each one token of some sequence.
//!
//! Rows are independent: prompt tokens and newly drawn tokens of any sequences mix, and a row's result is a function
//! of its sequence alone. Rows of one sequence must be in order and without gaps after what the cache holds.

use flow_kernels::gpu::DeviceError;
use flow_kernels::{
    Choice, Packed, Pick, Place, Routing, Selector, Shape, add, attend, padded, rms_norm, soft_cap, softmax,
};
use flow_model::AttentionExperts;

use crate::attention::place;
use crate::cache::Cache;
use crate::feed_forward::{Inner, grown};
use crate::moe::Mixture;
use crate::pages::{Pages, Sequence};
use crate::pass::Pass;
use crate::weights::{FeedForward, Layer, Weights};

/// One token to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) sequence: Sequence,
    /// Position of the token in its sequence.
    pub(crate) position: usize,
    pub(crate) token: u32,
    /// Positions of the sequence as it is read: of the whole prompt for its tokens, up to itself for a drawn token.
    pub(crate) span: usize,
    /// Which experts it visits; `None`: as many as the model says.
    pub(crate) routing: Option<Routing>,
    /// Whether the scores of the next token are wanted.
    pub(crate) wanted: bool,
}

/// A model with a cache and its buffers: what one worker thread owns. Buffers grow to the most rows of a step.
pub(crate) struct Forward<'a> {
    weights: &'a Weights,
    pub(crate) cache: Cache,
    residual: Vec<f32>,
    normed: Vec<f32>,
    post: Vec<f32>,
    fused: Vec<f32>,
    attended: Vec<f32>,
    attention_weights: Vec<f32>,
    attention_scores: Vec<[f32; flow_kernels::LANES]>,
    places: Vec<Place>,
    inner: Inner,
    mixture: Mixture,
    scores: Vec<f32>,
    selector: Selector,
}

impl<'a> Forward<'a> {
    pub(crate) fn new(weights: &'a Weights) -> Self {
        Self {
            weights,
            cache: Cache::new(weights.layers.len(), weights.shape.heads),
            residual: Vec::new(),
            normed: Vec::new(),
            post: Vec::new(),
            fused: Vec::new(),
            attended: Vec::new(),
            attention_weights: Vec::new(),
            attention_scores: Vec::new(),
            places: Vec::new(),
            inner: Inner::default(),
            mixture: Mixture::default(),
            scores: Vec::new(),
            selector: Selector::default(),
        }
    }

    /// Reads `rows` into the cache. Returns a matrix of scores (logits), one row for each wanted row in order,
    /// `padded(vocab)` wide.
    pub(crate) fn scores(&mut self, rows: &[Row]) -> &mut [f32] {
        for row in rows {
            self.cache.reserve(row.sequence, row.position + 1);
        }
        self.places.clear();
        self.places.extend(rows.iter().map(|row| Place { sequence: row.sequence, position: row.position }));
        self.embed(rows);
        for layer in &self.weights.layers {
            self.attention(layer, rows);
            self.feed_forward(layer, rows);
        }
        self.head(rows)
    }

    fn embed(&mut self, rows: &[Row]) {
        let (hidden, stride) = (self.weights.hidden, padded(self.weights.hidden));
        let residual = grown(&mut self.residual, rows.len() * stride);
        for (row, to) in rows.iter().zip(residual.chunks_exact_mut(stride)) {
            self.weights.embedding.read(row.token as usize, &mut to[..hidden]);
        }
        if let Some(scale) = self.weights.embedding_scale {
            residual.iter_mut().for_each(|x| *x *= scale);
        }
    }

    fn attention(&mut self, layer: &Layer, rows: &[Row]) {
        let (shape, n) = (self.weights.shape, rows.len());
        let residual = &mut self.residual[..n * padded(self.weights.hidden)];
        let normed = grown(&mut self.normed, residual.len());
        rms_norm(residual, &layer.attention_norm, normed);
        let fused = grown(&mut self.fused, n * shape.fused_len());
        layer.fused.multiply(n, normed, fused);
        let rotary = &self.weights.rotaries[layer.sight.rotary];
        place(shape, &layer.sight, rotary, rows, fused, &mut self.cache);
        let attended = grown(&mut self.attended, n * shape.output_len());
        let paged = self.cache.layer(layer.sight.layer);
        attend(shape, layer.sight.window, &self.places, fused, paged, &mut self.attention_scores, attended);
        if let Some(router) = &layer.attention_router {
            mix(router, shape, n, normed, &mut self.attention_weights, attended);
        }
        let Some(norm) = &layer.attention_post_norm else {
            return layer.output.multiply_add(n, attended, residual);
        };
        let post = grown(&mut self.post, residual.len());
        layer.output.multiply(n, attended, post);
        rms_norm(post, norm, normed);
        add(normed, residual);
    }

    fn feed_forward(&mut self, layer: &Layer, rows: &[Row]) {
        let n = rows.len();
        let residual = &mut self.residual[..n * padded(self.weights.hidden)];
        let normed = grown(&mut self.normed, residual.len());
        // Of a parallel block, the rows that attention read still stand there.
        if let Some(norm) = &layer.feed_forward_norm {
            rms_norm(residual, norm, normed);
        }
        let mut feed = |to: &mut [f32]| match &layer.feed_forward {
            FeedForward::Dense(block) => self.inner.feed_add(block, n, normed, to),
            FeedForward::Moe(moe) => self.mixture.add(moe, rows, normed, to),
        };
        let Some(norm) = &layer.feed_forward_post_norm else { return feed(residual) };
        let post = grown(&mut self.post, residual.len());
        post.fill(0.0);
        feed(post);
        rms_norm(post, norm, normed);
        add(normed, residual);
    }

    /// The scores of wanted rows, which are gathered first: most prompt tokens are not.
    fn head(&mut self, rows: &[Row]) -> &mut [f32] {
        let stride = padded(self.weights.hidden);
        let mut wanted = 0;
        for (r, _) in rows.iter().enumerate().filter(|(_, row)| row.wanted) {
            self.residual.copy_within(r * stride..(r + 1) * stride, wanted * stride);
            wanted += 1;
        }
        let normed = grown(&mut self.normed, wanted * stride);
        rms_norm(&self.residual[..wanted * stride], &self.weights.final_norm, normed);
        let scores = grown(&mut self.scores, wanted * self.weights.head.outputs());
        self.weights.head.multiply(wanted, normed, scores);
        if let Some(cap) = self.weights.score_cap {
            soft_cap(scores, cap);
        }
        scores
    }
}

impl Pass for Forward<'_> {
    fn pages(&self) -> &Pages {
        &self.cache.pages
    }

    fn pages_mut(&mut self) -> &mut Pages {
        &mut self.cache.pages
    }

    fn fork(&mut self, parent: Sequence, positions: usize) -> Result<Sequence, DeviceError> {
        Ok(self.cache.fork(parent, positions))
    }

    fn step(
        &mut self,
        rows: &[Row],
        picks: &[(usize, Pick<'_>)],
    ) -> Result<Vec<Option<Choice>>, DeviceError> {
        let (width, vocab) = (self.weights.head.outputs(), self.weights.vocab);
        let mut selector = std::mem::take(&mut self.selector);
        let scores = self.scores(rows);
        let choose = |(row, pick): &(usize, Pick<'_>)| selector.pick(&scores[row * width..][..vocab], pick);
        let choices = picks.iter().map(choose).collect();
        self.selector = selector;
        Ok(choices)
    }
}

/// Multiplies what each attention gives in the `n` rows of `attended` by its probability, or by 0 where it does not count.
fn mix(
    (router, experts): &(Packed, AttentionExperts),
    shape: Shape,
    n: usize,
    x: &[f32],
    scratch: &mut Vec<f32>,
    attended: &mut [f32],
) {
    let own = shape.query_len() / shape.attentions;
    let weights = grown(scratch, n * router.outputs());
    router.multiply(n, x, weights);
    let rows = attended.chunks_exact_mut(shape.output_len());
    for (weights, row) in weights.chunks_exact_mut(router.outputs()).zip(rows) {
        weights[shape.attentions..].fill(f32::MIN);
        softmax(weights);
        experts.keep(&mut weights[..experts.count]);
        for (part, weight) in row.chunks_exact_mut(own).zip(&weights[..shape.attentions]) {
            part.iter_mut().for_each(|x| *x *= *weight);
        }
    }
}
