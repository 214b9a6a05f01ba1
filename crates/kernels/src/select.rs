//! From scores to a token: repetition penalty, temperature, top-k, top-p, min-p, and a draw by one uniform number.
//!
//! The draw is by inverse cumulative distribution in the order of token ids: the token whose interval holds the
//! number. Sums are f64 over blocks that are f32 sums in a fixed order, so the choice is a function of the scores.

use pulp::Simd;

use crate::random::{Stream, uniform};
use crate::simd::{Kernel, LANES, Unit, run};
use crate::wide::ln;

/// Tokens whose weights are summed in f32 before f64 takes over.
const BLOCK: usize = 4 * LANES;

/// How tokens are chosen: scores are changed by the penalty, divided by the temperature, then filtered by `top_k`, by `top_p` over
/// what is left, and by `min_p`; a draw takes from what is left in proportion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// 0 chooses the most probable token, the lowest id of equals.
    pub temperature: f64,
    /// Keeps this many most probable tokens, and all that equal the last of them; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most probable tokens whose probabilities reach this sum, above 0 to 1.
    pub top_p: f64,
    /// Keeps tokens at least this fraction as probable as the most probable one, 0 to 1.
    pub min_p: f64,
    /// Divides positive scores of tokens that were seen, multiplies negative ones; more than 0.
    pub repetition_penalty: f64,
}

impl Default for Rules {
    /// The model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

/// How the token of one row is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// By which rules.
    pub rules: Rules,
    /// Tokens, each once, that a repetition penalty is about.
    pub seen: &'a [u32],
    /// The token in any case.
    pub forced: Option<u32>,
    /// Names the random numbers.
    pub stream: Stream,
    /// Position in the stream.
    pub place: u32,
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability at temperature 1, unfiltered.
    pub logprob: f32,
}

/// Chooses tokens; owns the buffers this takes.
#[derive(Default)]
pub struct Selector {
    /// Weight of each token relative to the most probable one, padded with zeros to whole blocks.
    weights: Vec<f32>,
    /// Weight and token of those in the running for top-p, most probable first.
    order: Vec<u64>,
    sorted: Vec<f32>,
    penalised: Vec<f32>,
}

impl Selector {
    /// [`Selector::choose`] with the random number of the pick's place.
    pub fn pick(&mut self, scores: &[f32], pick: &Pick<'_>) -> Option<Choice> {
        self.choose(scores, &pick.rules, pick.seen, pick.forced, uniform(&pick.stream, pick.place))
    }

    /// Chooses from the scores of a vocabulary; `None` when they are not all finite. `seen` are the tokens, each once, that a
    /// repetition penalty is about, and `forced` is a token to choose in any case. `uniform` is in [0, 1).
    pub fn choose(
        &mut self,
        scores: &[f32],
        rules: &Rules,
        seen: &[u32],
        forced: Option<u32>,
        uniform: f64,
    ) -> Option<Choice> {
        self.weights.resize(scores.len().next_multiple_of(BLOCK), 0.0);
        let top = run(Largest(scores))?;
        self.weigh(scores, top, 1.0);
        let log_total = ln(self.total());
        let choice = |token: usize| Choice {
            token: token as u32,
            logprob: (f64::from(scores[token]) - f64::from(top) - log_total) as f32,
        };
        if let Some(token) = forced {
            return Some(choice(token as usize));
        }
        if rules.repetition_penalty == 1.0 {
            return self.filtered(scores, top, rules, 1.0, uniform).map(choice);
        }
        let mut penalised = std::mem::take(&mut self.penalised);
        penalise(scores, seen, rules.repetition_penalty as f32, &mut penalised);
        let picked =
            run(Largest(&penalised)).and_then(|top| self.filtered(&penalised, top, rules, f64::NAN, uniform));
        self.penalised = penalised;
        picked.map(choice)
    }

    /// Picks a token by `scores`, the largest of which is `top`. The weights hold those of the temperature `weighed`.
    fn filtered(
        &mut self,
        scores: &[f32],
        top: f32,
        rules: &Rules,
        weighed: f64,
        uniform: f64,
    ) -> Option<usize> {
        if rules.temperature == 0.0 {
            return scores.iter().position(|&s| s == top);
        }
        if rules.temperature != weighed {
            self.weigh(scores, top, rules.temperature);
        }
        self.filter(rules);
        Some(self.draw(uniform))
    }

    /// Sets `weights` to `exp((score - top) / temperature)`.
    fn weigh(&mut self, scores: &[f32], top: f32, temperature: f64) {
        let factor = (1.0 / temperature).min(f64::from(f32::MAX)) as f32;
        let (whole, _) = self.weights.split_at_mut(scores.len());
        whole.copy_from_slice(scores);
        run(Weigh { weights: &mut self.weights, top, factor });
        self.weights[scores.len()..].fill(0.0);
    }

    fn filter(&mut self, rules: &Rules) {
        if rules.top_k > 0 && rules.top_k < self.weights.len() {
            self.keep_top_k(rules.top_k);
        }
        if rules.top_p < 1.0 {
            self.keep_top_p(rules.top_p);
        }
        if rules.min_p > 0.0 {
            self.keep_from(rules.min_p as f32);
        }
    }

    fn keep_from(&mut self, least: f32) {
        self.weights.iter_mut().filter(|w| **w < least).for_each(|w| *w = 0.0);
    }

    fn keep_top_k(&mut self, k: usize) {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.weights);
        let (_, least, _) = self.sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let least = *least;
        self.keep_from(least);
    }

    /// Tokens too improbable to matter, even all together, are left out before sorting.
    fn keep_top_p(&mut self, top_p: f64) {
        let total = self.total();
        let floor = ((1.0 - top_p) * total / self.weights.len() as f64) as f32;
        // Weights are not negative, so their bits order as they do: the complement sorts the largest first, and the
        // token below it the lowest id of equals.
        let key = |(token, weight): (usize, &f32)| u64::from(!weight.to_bits()) << 32 | token as u64;
        self.order.clear();
        self.order.extend(self.weights.iter().enumerate().filter(|(_, w)| **w >= floor).map(key));
        self.order.sort_unstable();
        self.weights.fill(0.0);
        let mut sum = 0.0;
        for key in &self.order {
            let weight = f32::from_bits(!(key >> 32) as u32);
            self.weights[*key as u32 as usize] = weight;
            sum += f64::from(weight);
            if sum >= top_p * total {
                break;
            }
        }
    }

    fn total(&self) -> f64 {
        run(Sum(&self.weights))
    }

    /// The token whose interval of the cumulative weights holds `uniform` times their total.
    fn draw(&self, uniform: f64) -> usize {
        let target = uniform * self.total();
        let mut sum = 0.0;
        let mut last = 0;
        for (b, block) in self.weights.chunks_exact(BLOCK).enumerate() {
            let next = sum + run(Sum(block));
            if next > target {
                let mut sum = sum;
                for (i, &w) in block.iter().enumerate().filter(|(_, w)| **w > 0.0) {
                    sum += f64::from(w);
                    last = b * BLOCK + i;
                    if sum > target {
                        break;
                    }
                }
                return last;
            }
            if next > sum {
                last = b * BLOCK + block.iter().rposition(|&w| w > 0.0).unwrap_or(0);
            }
            sum = next;
        }
        last
    }
}

/// Scores with those of `seen` tokens moved towards the improbable.
fn penalise(scores: &[f32], seen: &[u32], penalty: f32, out: &mut Vec<f32>) {
    out.clear();
    out.extend_from_slice(scores);
    for &token in seen {
        let score = &mut out[token as usize];
        *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
    }
}

/// The largest score, or `None` when one is not finite.
struct Largest<'a>(&'a [f32]);

impl Kernel for Largest<'_> {
    type Output = Option<f32>;

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) -> Option<f32> {
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        let (mut top, mut check) = (unit.splat(f32::MIN), unit.splat(0.0));
        for s in chunks {
            top = unit.max(top, unit.load(s));
            // Zero as long as everything is finite, NaN from then on.
            check = unit.fma(unit.load(s), unit.splat(0.0), check);
        }
        let finite = unit.total(check) == 0.0 && rest.iter().all(|s| s.is_finite());
        let top = rest.iter().fold(unit.largest(top), |top, &s| top.max(s));
        finite.then_some(top)
    }
}

/// `weights = exp((weights - top) * factor)`.
struct Weigh<'a> {
    weights: &'a mut [f32],
    top: f32,
    factor: f32,
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let (top, factor) = (unit.splat(self.top), unit.splat(self.factor));
        for w in self.weights.as_chunks_mut::<LANES>().0 {
            let x = unit.mul(unit.sub(unit.load(w), top), factor);
            unit.store(unit.exp(x), w);
        }
    }
}

/// The sum of whole blocks: f32 within a block, f64 over blocks.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) -> f64 {
        let mut sum = 0.0;
        for block in self.0.as_chunks::<LANES>().0.chunks_exact(BLOCK / LANES) {
            let mut lanes = unit.splat(0.0);
            for w in block {
                lanes = unit.add(lanes, unit.load(w));
            }
            sum += f64::from(unit.total(lanes));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::distribution;

    const TOKENS: usize = 100;

    fn scores() -> Vec<f32> {
        (0..TOKENS as u32).map(|i| (uniform(&[3; 16], i) * 6.0 - 2.0) as f32).collect()
    }

    const SEEN: [u32; 4] = [3, 40, 41, 97];

    #[test]
    fn draws_follow_the_filtered_distribution() {
        let all = Rules::default();
        let cases = [
            all,
            Rules { temperature: 0.6, ..all },
            Rules { temperature: 1.7, ..all },
            Rules { top_k: 7, ..all },
            Rules { top_p: 0.8, ..all },
            Rules { min_p: 0.1, ..all },
            Rules { repetition_penalty: 1.8, ..all },
            Rules { temperature: 0.8, top_k: 30, top_p: 0.9, min_p: 0.05, ..all },
        ];
        let (scores, draws) = (scores(), 50_000);
        for rules in cases {
            let mut selector = Selector::default();
            let mut counts = vec![0u32; TOKENS];
            for i in 0..draws {
                let choice = selector.choose(&scores, &rules, &SEEN, None, uniform(&[5; 16], i)).unwrap();
                counts[choice.token as usize] += 1;
            }
            let exact = distribution(&scores, &rules, &SEEN);
            let (mut chi2, mut bins) = (0.0, 0);
            for (&n, p) in counts.iter().zip(&exact) {
                assert!(*p > 0.0 || n == 0, "a token was drawn that the filters exclude: {rules:?}");
                let expected = p * f64::from(draws);
                if expected >= 5.0 {
                    chi2 += (f64::from(n) - expected).powi(2) / expected;
                    bins += 1;
                }
            }
            let limit = f64::from(bins) + 3.5 * (2.0 * f64::from(bins)).sqrt();
            assert!(bins > 4 && chi2 < limit, "{rules:?}: chi-square {chi2}, {bins} bins");
        }
    }

    #[test]
    fn greedy_takes_the_lowest_id_of_equals_and_logprobs_ignore_the_parameters() {
        let mut selector = Selector::default();
        let mut scores = scores();
        (scores[41], scores[77]) = (9.0, 9.0);
        let greedy = Rules { temperature: 0.0, ..Rules::default() };
        let choice = selector.choose(&scores, &greedy, &[], None, 0.999).unwrap();
        assert_eq!(choice.token, 41);
        let total: f64 = scores.iter().map(|&s| f64::from(s).exp()).sum();
        assert!((f64::from(choice.logprob) - (9.0 - total.ln())).abs() < 1e-6);
        let cold = Rules { temperature: 1e-30, top_k: 5, ..Rules::default() };
        let (low, high) = (
            selector.choose(&scores, &cold, &[], None, 0.0),
            selector.choose(&scores, &cold, &[], None, 0.999_999),
        );
        assert_eq!(low, Some(choice));
        assert_eq!(high, Some(Choice { token: 77, ..choice }));
    }

    #[test]
    fn the_extremes_of_the_uniform_number_choose_the_first_and_the_last_token_left() {
        let mut selector = Selector::default();
        let last = 1.0 - f64::EPSILON / 2.0;
        for count in [1, 2, 63, 64, 65, 130] {
            let scores: Vec<f32> = (0..count).map(|i| if i < 70 { 1.0 } else { -200.0 }).collect();
            let choose =
                |s: &mut Selector, u| s.choose(&scores, &Rules::default(), &[], None, u).unwrap().token;
            assert_eq!(choose(&mut selector, 0.0), 0);
            assert_eq!(choose(&mut selector, last), count.min(70) - 1);
        }
    }

    #[test]
    fn scores_that_are_not_finite_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 50, 99] {
                let mut scores = scores();
                scores[place] = bad;
                assert_eq!(Selector::default().choose(&scores, &Rules::default(), &[], None, 0.5), None);
            }
        }
    }
}
