//! Congruences: `x \equiv 2 \pmod 5` is `x \equiv 7 \pmod 5`.

use num_traits::Zero;

use super::{Decision, Judge};
use crate::expr::Expr;

/// The name under which the parser keeps a congruence: both sides and the modulus.
pub(crate) const CONGRUENCE: &str = "≡";

impl Judge<'_> {
    /// Two congruences with the same left side: the same if their moduli are, and their right sides differ by a multiple.
    pub(super) fn congruences(&self, a: &[Expr], b: &[Expr]) -> Decision {
        let ([left, right, modulus], [other_left, other_right, other_modulus]) = (a, b) else {
            return Decision::unknown("congruence");
        };
        if !self.scalars(left, other_left).is_equal() {
            return Decision::unknown("congruence");
        }
        let numbers = [right, other_right, modulus, other_modulus].map(|part| part.as_rational());
        let [Some(x), Some(y), Some(m), Some(n)] = numbers else {
            let parts = [(right, other_right), (modulus, other_modulus)];
            let same = parts.iter().all(|(x, y)| self.scalars(x, y).is_equal());
            return if same { Decision::equal("congruence") } else { Decision::unknown("congruence") };
        };
        let is_whole = [x, y, m, n].iter().all(|number| number.is_integer());
        if !is_whole || m.is_zero() {
            return Decision::unknown("congruence");
        }
        let is_same_modulus = m == n || *m == -n.clone();
        if is_same_modulus && ((x - y) / m).is_integer() {
            Decision::equal("congruence")
        } else {
            Decision::different("congruence")
        }
    }
}
