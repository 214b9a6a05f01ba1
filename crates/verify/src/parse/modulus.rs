//! Remainders and the moduli of congruences.

use super::Parser;
use crate::expr::Expr;

impl Parser<'_> {
    /// Takes the sign of a remainder, as in `7 \bmod 3`.
    pub(super) fn take_mod(&mut self) -> bool {
        ["bmod", "mod"].iter().any(|name| self.take_command(name)) || self.take_word("mod")
    }

    /// Whether the modulus of a congruence comes next: `\pmod 5`, `(mod 5)`.
    pub(super) fn at_modulus(&self) -> bool {
        let inside = self.rest.strip_prefix('(').map(str::trim_start);
        let is_mod = |inside: &str| {
            ["mod", "\\mod", "\\bmod", "\\text{mod"].iter().any(|word| inside.starts_with(word))
        };
        self.rest.starts_with("\\pmod")
            || inside.is_some_and(is_mod)
            || self.is_congruence && is_mod(self.rest)
    }

    /// The modulus of a congruence.
    pub(super) fn modulus(&mut self) -> Option<Expr> {
        self.skip_spaces();
        if self.take_command("pmod") {
            // LaTeX would take one digit of `\pmod 18`; people mean all.
            return Some(self.factor()?.expr);
        }
        let is_bracketed = self.take("(");
        self.skip_spaces();
        if !(self.take_mod() || self.take_marked("mod")) {
            return None;
        }
        let modulus = self.factor()?.expr;
        self.skip_spaces();
        (!is_bracketed || self.take(")")).then_some(modulus)
    }
}
