//! Two numbers without variables: apart by their values, or equal below the bound that only zero is under.

use crate::evaluate::Point;
use crate::expr::Expr;
use crate::judge::{Decision, Judge};
use crate::separation;

/// Working precisions, in bits.
const PRECISIONS: [u32; 5] = [64, 160, 512, 1400, 4000];

impl Judge<'_> {
    pub(super) fn constants(&self, a: &Expr, b: &Expr) -> Decision {
        let gap = a.clone().minus(b.clone());
        let bound = separation::bound(&gap, self.budget);
        for bits in PRECISIONS {
            let point = Point { values: &[], computed: None, is_complex: true, bits, budget: self.budget };
            let (Some(x), Some(y)) = (point.value(a), point.value(b)) else { continue };
            let Some(difference) = x.minus(&y, bits) else { continue };
            if difference.is_nonzero() {
                let witness = format!("{} and {}", x.approximation(), y.approximation());
                return Decision::different("value").with(witness);
            }
            let is_below = |bound: i64| {
                let magnitudes = [&difference.re, &difference.im];
                magnitudes.iter().all(|part| part.ceiling_exponent().is_none_or(|top| top < -bound - 1))
            };
            if bound.is_some_and(is_below) {
                return Decision::equal("algebraic number");
            }
        }
        Decision::unknown("value")
    }
}
