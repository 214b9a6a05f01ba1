//! Functions in pieces.

use super::{Decision, Judge};
use crate::evaluate::Point;
use crate::expr::Expr;

/// The name under which the parser keeps a function in pieces: values and conditions by turns.
pub(crate) const PIECES: &str = "cases";

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
}
