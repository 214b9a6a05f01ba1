//! Sums, remainders, congruences, functions in pieces, sets by conditions: their laws, and what breaks them.

use flow_verify::{Compare, Outcome, compare};
use proptest::prelude::*;

fn outcome(a: &str, b: &str) -> Outcome {
    let outcome = compare(a, b, Compare::Math).outcome;
    assert_eq!(outcome, compare(b, a, Compare::Math).outcome, "symmetric on {a} and {b}");
    outcome
}

fn assert_equal(a: &str, b: &str) {
    assert_eq!(outcome(a, b), Outcome::Equal, "{}", compare(a, b, Compare::Math).witness);
}

fn assert_different(a: &str, b: &str) {
    assert_eq!(outcome(a, b), Outcome::Different, "{}", compare(a, b, Compare::Math).witness);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_over_numbers_are_their_values(from in -9_i64..9, len in 0_i64..40, p in -9_i64..9, q in -9_i64..9, off in 1_i64..9) {
        let value: i64 = (from..from + len).map(|k| p * k * k + q).sum();
        let sum = format!("\\sum_{{k={from}}}^{{{}}} (({p})k^2 + ({q}))", from + len - 1);
        assert_equal(&sum, &value.to_string());
        assert_different(&sum, &(value + off).to_string());
    }

    #[test]
    fn products_over_numbers_are_factorials(n in 1_i64..20, off in 1_i64..9) {
        assert_equal(&format!("\\prod_{{i=1}}^{{{n}}} i"), &format!("{n}!"));
        assert_different(&format!("\\prod_{{i=1}}^{{{n}}} i"), &format!("{n}! + {off}"));
    }

    #[test]
    fn the_name_of_an_index_does_not_matter(p in 1_i64..9, names in prop::sample::subsequence(vec!["i", "j", "k", "m"], 2)) {
        let sum = |name: &str, p: i64| format!("\\sum_{{{name}=1}}^n ({p}{name} + a)^2");
        let expanded = format!("\\sum_{{{0}=1}}^{{n}} ({1}{0}^2 + {2}a{0} + a^2)", names[1], p * p, 2 * p);
        assert_equal(&sum(names[0], p), &sum(names[1], p));
        assert_equal(&sum(names[0], p), &expanded);
        assert_ne!(outcome(&sum(names[0], p), &sum(names[1], p + 1)), Outcome::Equal);
        assert_ne!(outcome(&sum("a", p), &sum("i", p)), Outcome::Equal);
    }

    #[test]
    fn remainders_are_between_zero_and_the_divisor(a in -999_i64..999, m in 1_i64..60, off in 1_i64..9) {
        assert_equal(&format!("({a}) \\bmod {m}"), &a.rem_euclid(m).to_string());
        assert_different(&format!("({a}) \\bmod {m}"), &(a.rem_euclid(m) + off).to_string());
    }

    #[test]
    fn congruences_shift_by_the_modulus(a in -99_i64..99, m in 2_i64..60, times in -9_i64..9, off in 1_i64..59) {
        let congruence = format!("x \\equiv {a} \\pmod{{{m}}}");
        assert_equal(&congruence, &format!("x \\equiv {} (mod {m})", a + times * m));
        prop_assume!(off % m != 0);
        assert_different(&congruence, &format!("x \\equiv {} \\pmod {m}", a + off));
    }

    #[test]
    fn pieces_have_no_order(a in -9_i64..9, at in -9_i64..9, off in 1_i64..9) {
        let function = |low: &str, high: &str| format!("f(x) = \\begin{{cases}} {low} \\\\ {high} \\end{{cases}}");
        let (low, high) = (format!("x^2 & x \\le {at}"), format!("{a}x, & \\text{{if }} x > {at}"));
        assert_equal(&function(&low, &high), &function(&high, &low));
        assert_equal(&function(&low, &high), &function(&format!("x \\cdot x & {at} \\ge x"), &high));
        assert_different(&function(&low, &high), &function(&format!("x^2 + {off} & x \\le {at}"), &high));
    }

    #[test]
    fn conditions_describe_intervals(a in -30_i64..30, width in 1_i64..30, name in "[a-dj-z]", sign in "\\||:|\\\\mid ") {
        let set = format!("\\{{{name} {sign} {a} \\le {name} < {}\\}}", a + width);
        assert_equal(&set, &format!("[{a}, {})", a + width));
        assert_different(&set, &format!("[{a}, {}]", a + width));
        assert_different(&set, &format!("({a}, {})", a + width));
    }

    #[test]
    fn minutes_are_parts_of_degrees(degrees in 0_i64..360, minutes in 0_i64..60, seconds in 0_i64..60, off in 1_i64..59) {
        let angle = format!("{degrees}^\\circ {minutes}' {seconds}''");
        let total = (degrees * 60 + minutes) * 60 + seconds;
        assert_equal(&angle, &format!("\\frac{{{total}}}{{3600}}°"));
        assert_different(&angle, &format!("\\frac{{{}}}{{3600}}°", total + off));
    }
}
