//! Functions in pieces, and congruences.

use super::{Decision, Judge};
use crate::evaluate::Point;
use crate::expr::Expr;

/// The name under which the parser keeps a function in pieces: values and conditions by turns.
pub(crate) const PIECES: &str = "cases";

/// The name under which the parser keeps a congruence: both sides and the modulus.
pub(crate) const CONGRUENCE: &str = "≡";

/// Points at which functions in pieces are told apart.
const TRIES: usize = 24;

/// Working precision there, in bits.
const BITS: u32 = 160;

impl Judge<'_> {
    /// Functions in pieces: the same where each piece of one is a piece of the other; different where they differ at a
    /// point. Pieces may be cut in other ways, so anything else is not known.
    pub(super) fn pieces_of_functions(&self, a: &[Expr], b: &[Expr]) -> Decision {
        let is_piece = |piece: &[Expr], others: &[Expr]| {
            others.chunks(2).any(|other| self.ordered(piece, other).is_equal())
        };
        let are_among = |own: &[Expr], others: &[Expr]| own.chunks(2).all(|piece| is_piece(piece, others));
        if are_among(a, b) && are_among(b, a) {
            return Decision::equal("pieces");
        }
        let mut names: Vec<String> = a.iter().chain(b).flat_map(Expr::symbols).collect();
        names.sort();
        names.dedup();
        for index in 0..TRIES {
            let Some(values) = self.point(&names, index) else { break };
            let at =
                Point { values: &values, computed: None, is_complex: false, bits: BITS, budget: self.budget };
            let value = |pieces: &[Expr]| at.value(self.piece_at(pieces, &at)?);
            if let (Some(x), Some(y)) = (value(a), value(b))
                && x.minus(&y, BITS).is_some_and(|gap| gap.is_nonzero())
            {
                return Decision::different("pieces");
            }
        }
        Decision::unknown("pieces")
    }

    /// The value of the only piece whose condition holds, where all conditions are sure.
    fn piece_at<'a>(&self, pieces: &'a [Expr], at: &Point<'_>) -> Option<&'a Expr> {
        let mut found = None;
        for piece in pieces.chunks(2) {
            let [value, condition] = piece else { return None };
            if self.is_met(condition, at)? && found.replace(value).is_some() {
                return None;
            }
        }
        found
    }

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
        if !is_whole || num_traits::Zero::is_zero(m) {
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
