//! Whole numbers: factorials, powers within bounds, prime factors, roots.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::budget::Budget;

/// Largest number whose factorial is worked out.
const MAX_FACTORIAL: u64 = 6000;

/// Largest power that is worked out, in bits.
const MAX_BITS: u64 = 1 << 16;

/// Largest prime that is looked for in a number.
const MAX_PRIME: u64 = 2000;

/// Roots that are looked for in what has no small primes.
const ROOTS: [u32; 4] = [2, 3, 5, 7];

/// `n!`; none when `n` is large.
pub(crate) fn factorial(n: u64, budget: &Budget) -> Option<BigInt> {
    if n > MAX_FACTORIAL {
        return None;
    }
    budget.spend(n * (1 + n / 64) / 8)?;
    let mut product = BigInt::one();
    // Machine words are filled before they meet the large number.
    let mut word = 1_u64;
    for factor in 2..=n {
        match word.checked_mul(factor) {
            Some(next) => word = next,
            None => {
                product *= word;
                word = factor;
            }
        }
    }
    Some(product * word)
}

/// `n` over `k`; none when they are large.
pub(crate) fn binomial(n: u64, k: u64, budget: &Budget) -> Option<BigInt> {
    if k > n {
        return Some(BigInt::zero());
    }
    let k = k.min(n - k);
    if k > 2000 || n > 1_000_000 {
        return None;
    }
    budget.spend(k * (5 + k / 64))?;
    Some((0..k).fold(BigInt::one(), |product, i| product * (n - i) / (i + 1)))
}

/// `base` to the `exponent`; none when the result is too long or a division by zero.
pub(crate) fn power(base: &BigRational, exponent: i64, budget: &Budget) -> Option<BigRational> {
    let magnitude = exponent.unsigned_abs();
    let bits = base.numer().bits().max(base.denom().bits());
    let is_unit = bits <= 1;
    if base.is_zero() && exponent <= 0 {
        return None;
    }
    if !is_unit && bits.checked_mul(magnitude)? > MAX_BITS {
        return None;
    }
    let exponent_32 = u32::try_from(if is_unit { magnitude % 2 } else { magnitude }).ok()?;
    budget.spend_operations(2, bits * u64::from(exponent_32))?;
    let power = num_traits::Pow::pow(base, exponent_32);
    Some(if exponent < 0 { power.recip() } else { power })
}

/// The prime factors of a positive whole number, each with its exponent, smaller ones first. A last factor
/// without small primes is not split, but a perfect power is found.
pub(crate) fn prime_factors(n: &BigInt, budget: &Budget) -> Option<Vec<(BigInt, i64)>> {
    let mut factors = Vec::new();
    let mut rest = n.clone();
    budget.spend_operations(MAX_PRIME / 20, n.bits().min(1 << 12))?;
    let trial = if n.bits() > 4096 { 100 } else { MAX_PRIME };
    if let Some(twos) = rest.trailing_zeros().filter(|twos| *twos > 0) {
        factors.push((BigInt::from(2), i64::try_from(twos).ok()?));
        rest >>= twos;
    }
    let mut prime = 3_u64;
    while prime <= trial && rest > BigInt::one() {
        if let Some(small) = rest.to_u64()
            && prime * prime > small
        {
            break;
        }
        let mut exponent = 0;
        while (&rest % prime).is_zero() {
            budget.spend(2 + rest.bits() / 256)?;
            rest /= prime;
            exponent += 1;
        }
        if exponent > 0 {
            factors.push((BigInt::from(prime), exponent));
        }
        prime += 2;
    }
    if rest > BigInt::one() {
        budget.spend_operations(ROOTS.len() as u64 * 8, rest.bits())?;
        let (base, exponent) = perfect_power(rest);
        factors.push((base, exponent));
    }
    Some(factors)
}

fn perfect_power(n: BigInt) -> (BigInt, i64) {
    for exponent in ROOTS {
        let root = n.nth_root(exponent);
        if num_traits::Pow::pow(&root, exponent) == n {
            let (base, inner) = perfect_power(root);
            return (base, inner * i64::from(exponent));
        }
    }
    (n, 1)
}

/// The product; without a search for common factors where both are whole.
pub(crate) fn product(a: &BigRational, b: &BigRational) -> BigRational {
    if a.is_integer() && b.is_integer() {
        return BigRational::from_integer(a.numer() * b.numer());
    }
    let reduced = |x: &BigInt, y: &BigInt| {
        let common = if y.is_one() { BigInt::one() } else { greatest_common_divisor(x, y) };
        if common.is_one() { (x.clone(), y.clone()) } else { (x / &common, y / common) }
    };
    let (over, under) = (reduced(a.numer(), b.denom()), reduced(b.numer(), a.denom()));
    BigRational::new_raw(over.0 * under.0, under.1 * over.1)
}

/// The sum; without a search for common factors where both are whole.
pub(crate) fn sum(a: &BigRational, b: &BigRational) -> BigRational {
    if a.is_integer() && b.is_integer() {
        return BigRational::from_integer(a.numer() + b.numer());
    }
    let over = a.numer() * b.denom() + b.numer() * a.denom();
    let under = a.denom() * b.denom();
    let common = greatest_common_divisor(&over, &under);
    BigRational::new_raw(over / &common, under / common)
}

/// The greatest common divisor of whole numbers, not negative.
pub(crate) fn greatest_common_divisor(a: &BigInt, b: &BigInt) -> BigInt {
    let (mut a, mut b) = (a.abs(), b.abs());
    while !b.is_zero() {
        (a, b) = (b.clone(), a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_multiply_back() {
        let budget = Budget::new();
        for n in [1_u64, 2, 12, 360, 97, 9_409, 1_000_003, 1_000_006_000_009, 600_851_475_143] {
            let factors = prime_factors(&n.into(), &budget).expect("factors");
            let product = factors.iter().fold(BigInt::one(), |product, (prime, exponent)| {
                product * num_traits::Pow::pow(prime, u32::try_from(*exponent).expect("small"))
            });
            assert_eq!(product, n.into());
        }
    }

    #[test]
    fn what_is_too_large_is_not_worked_out() {
        let budget = Budget::new();
        assert_eq!(factorial(10, &budget), Some(3_628_800.into()));
        assert_eq!(factorial(1_000_000, &budget), None);
        assert_eq!(power(&BigRational::from_integer(9.into()), 387_420_489, &budget), None);
        assert_eq!(binomial(10, 3, &budget), Some(120.into()));
    }
}
