//! Laws of algebra: rewriting an answer by one keeps it equal, changing a number in it makes it different.

use flow_verify::{Compare, Outcome, compare};
use proptest::prelude::*;

fn outcome(a: &str, b: &str) -> Outcome {
    let outcome = compare(a, b, Compare::Math).outcome;
    assert_eq!(outcome, compare(b, a, Compare::Math).outcome, "symmetric on {a} and {b}");
    outcome
}

fn assert_equal(a: &str, b: &str) {
    let verdict = compare(a, b, Compare::Math);
    assert_eq!(outcome(a, b), Outcome::Equal, "{} by {}", verdict.witness, verdict.method);
}

fn assert_different(a: &str, b: &str) {
    let verdict = compare(a, b, Compare::Math);
    assert_eq!(outcome(a, b), Outcome::Different, "{} by {}", verdict.witness, verdict.method);
}

fn small() -> impl Strategy<Value = i64> {
    prop_oneof![-30_i64..=-1, 1_i64..=30]
}

/// A number in one of the ways to write it after a sign or inside brackets.
fn signed(number: i64) -> String {
    if number < 0 { format!("({number})") } else { number.to_string() }
}

/// A polynomial in x and y: terms of coefficient and exponents, written in the given order.
fn polynomial(terms: &[(i64, u32, u32)]) -> String {
    let term = |(c, i, j): &(i64, u32, u32)| format!("{}x^{{{i}}}y^{j}", signed(*c));
    terms.iter().map(term).collect::<Vec<_>>().join(" + ")
}

fn terms() -> impl Strategy<Value = Vec<(i64, u32, u32)>> {
    prop::collection::vec((small(), 0_u32..5, 0_u32..5), 1..6)
}

/// The terms of the product of two polynomials, not collected.
fn multiplied(a: &[(i64, u32, u32)], b: &[(i64, u32, u32)]) -> Vec<(i64, u32, u32)> {
    a.iter().flat_map(|(c, i, j)| b.iter().map(move |(d, k, l)| (c * d, i + k, j + l))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn terms_commute(terms in terms(), by in any::<prop::sample::Index>(), more in 1_i64..5) {
        let mut turned = terms.clone();
        turned.rotate_left(by.index(terms.len()));
        assert_equal(&polynomial(&terms), &polynomial(&turned));
        turned[0].0 += more;
        assert_different(&polynomial(&terms), &polynomial(&turned));
    }

    #[test]
    fn products_expand(a in terms(), b in terms(), more in 1_i64..5) {
        let product = format!("({})({})", polynomial(&a), polynomial(&b));
        let mut expanded = multiplied(&a, &b);
        assert_equal(&product, &polynomial(&expanded));
        expanded[0].0 += more;
        assert_different(&product, &polynomial(&expanded));
    }

    #[test]
    fn fractions_add(a in small(), b in 1_i64..30, c in small(), d in 1_i64..30, off in 1_i64..4) {
        let sum = format!("\\frac{{{a}}}{{{b}}} + {c}/{d}");
        let over = a * d + b * c;
        assert_equal(&sum, &format!("\\frac{{{over}}}{{{}}}", b * d));
        assert_different(&sum, &format!("\\frac{{{}}}{{{}}}", over + off, b * d));
    }

    #[test]
    fn rational_functions_add(a in small(), b in small(), c in small(), d in small(), off in 1_i64..4) {
        let sum = format!("\\frac{{{a}}}{{x + {}}} + \\frac{{{c}}}{{x + {}}}", signed(b), signed(d));
        let joined = |constant: i64| {
            format!("\\frac{{{}x + {}}}{{(x + {})(x + {})}}", signed(a + c), signed(constant), signed(b), signed(d))
        };
        assert_equal(&sum, &joined(a * d + b * c));
        assert_different(&sum, &joined(a * d + b * c + off));
    }

    #[test]
    fn denominators_are_rationalised(p in small(), q in 1_i64..20, n in 2_i64..50, off in 1_i64..4) {
        let quotient = format!("\\frac{{{p}}}{{{q}\\sqrt{{{n}}}}}");
        assert_equal(&quotient, &format!("\\frac{{{p}\\sqrt{{{n}}}}}{{{}}}", q * n));
        assert_different(&quotient, &format!("\\frac{{{p}\\sqrt{{{n}}}}}{{{}}}", q * n + off));
    }

    #[test]
    fn binomials_with_roots_are_rationalised(a in 1_i64..20, n in 2_i64..50, off in 1_i64..4) {
        prop_assume!(a * a != n);
        let quotient = format!("\\frac{{1}}{{{a} + \\sqrt{{{n}}}}}");
        assert_equal(&quotient, &format!("\\frac{{{a} - \\sqrt{{{n}}}}}{{{}}}", a * a - n));
        assert_different(&quotient, &format!("\\frac{{{} - \\sqrt{{{n}}}}}{{{}}}", a + off, a * a - n));
    }

    #[test]
    fn nested_roots_are_squared_out(a in 2_i64..20, b in 2_i64..20, off in 1_i64..4) {
        let nested = |sum: i64| format!("\\sqrt{{{sum} + 2\\sqrt{{{}}}}}", a * b);
        assert_equal(&nested(a + b), &format!("\\sqrt{{{a}}} + \\sqrt{{{b}}}"));
        assert_different(&nested(a + b + off), &format!("\\sqrt{{{a}}} + \\sqrt{{{b}}}"));
    }

    #[test]
    fn equations_scale_and_turn(a in small(), b in small(), c in small(), k in small(), off in 1_i64..4) {
        let line = format!("{a}x + {}y = {c}", signed(b));
        assert_equal(&line, &format!("{} = {}x + {}y", k * c, k * a, signed(k * b)));
        assert_equal(&line, &format!("y = \\frac{{{c} - {}x}}{{{b}}}", signed(a)));
        assert_different(&line, &format!("{} = {}x + {}y", k * c, k * a, signed(k * b + off)));
    }

    #[test]
    fn inequalities_scale_and_turn(a in small(), c in small(), k in small()) {
        let (less, more) = if k > 0 { ("<", ">") } else { (">", "<") };
        let line = format!("{a}x < {c}");
        assert_equal(&line, &format!("{}x {less} {}", k * a, k * c));
        assert_equal(&line, &format!("{} {more} {}x", k * c, k * a));
        assert_different(&line, &format!("{}x {more} {}", k * a, k * c));
        assert_different(&line, &format!("{}x \\le {}", a, c));
    }

    #[test]
    fn intervals_are_what_inequalities_say(a in -30_i64..30, width in 1_i64..30, closed in any::<bool>()) {
        let b = a + width;
        let (sign, bracket, other) = if closed { ("\\le", "]", ")") } else { ("<", ")", "]") };
        assert_equal(&format!("{a} < x {sign} {b}"), &format!("x \\in ({a}, {b}{bracket}"));
        assert_different(&format!("{a} < x {sign} {b}"), &format!("({a}, {b}{other}"));
        assert_equal(&format!("({a}, {b}) \\cup [{b}, {}]", b + 1), &format!("({a}, {}]", b + 1));
    }

    #[test]
    fn units_convert(value in 1_i64..10_000, off in 1_i64..9) {
        for (from, to, factor) in [("km", "m", 1000), ("m", "cm", 100), ("hours", "minutes", 60), ("kg", "grams", 1000), ("feet", "inches", 12)] {
            assert_equal(&format!("{value} \\text{{ {from}}}"), &format!("{} \\text{{ {to}}}", value * factor));
            assert_different(&format!("{value} \\text{{ {from}}}"), &format!("{} \\text{{ {to}}}", value * factor + off));
        }
    }

    #[test]
    fn sets_have_no_order(items in prop::collection::btree_set(-99_i64..99, 2..8), by in any::<prop::sample::Index>(), off in 200_i64..300) {
        let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
        let set = format!("\\{{{}\\}}", items.join(", "));
        let turns = by.index(items.len());
        items.rotate_left(turns);
        assert_equal(&set, &items.join(", "));
        assert_equal(&set, &items.join(" \\text{ and } "));
        items[0] = off.to_string();
        assert_different(&set, &items.join(", "));
        assert_different(&set, &items[1..].join(", "));
    }

    #[test]
    fn angles_add(a in 1_i64..9, b in 1_i64..9) {
        assert_equal(&format!("\\sin({a}x + {b}y)"), &format!("\\sin({a}x)\\cos({b}y) + \\cos({a}x)\\sin({b}y)"));
        assert_different(&format!("\\sin({a}x + {b}y)"), &format!("\\sin({a}x)\\cos({b}y) - \\cos({a}x)\\sin({b}y)"));
        assert_equal(&format!("\\cos({}x)", 2 * a), &format!("1 - 2\\sin^2({a}x)"));
    }

    #[test]
    fn cosines_of_a_turn_are_algebraic(n in 3_i64..16) {
        // The cosines of all parts of a turn sum to zero.
        let parts = (0..n).map(|k| format!("\\cos\\frac{{{}\\pi}}{{{n}}}", 2 * k)).collect::<Vec<_>>();
        assert_equal(&parts.join(" + "), "0");
        assert_different(&parts[1..].join(" + "), "0");
    }

    #[test]
    fn logarithms_add(a in 2_i64..99, b in 2_i64..99, base in 2_i64..12) {
        assert_equal(&format!("\\log_{{{base}}} {a} + \\log_{{{base}}} {b}"), &format!("\\frac{{\\ln {}}}{{\\ln {base}}}", a * b));
        assert_different(&format!("\\log_{{{base}}} {a} + \\log_{{{base}}} {b}"), &format!("\\log_{{{base}}} {}", a * b + 1));
        assert_equal(&format!("{base}^{{\\log_{{{base}}} {a}}}"), &a.to_string());
    }

    #[test]
    fn powers_add(a in 2_i64..9, m in 1_i64..9, n in 1_i64..9) {
        assert_equal(&format!("{a}^{{{m}x + {n}}}"), &format!("{}\\cdot {a}^{{{m}x}}", a.pow(u32::try_from(n).expect("small"))));
        assert_different(&format!("{a}^{{{m}x + {n}}}"), &format!("{a}^{{{m}x}} + {a}^{n}"));
    }

    #[test]
    fn equal_is_transitive(a in small(), b in 1_i64..30, forms in prop::sample::subsequence(vec![0, 1, 2, 3, 4, 5], 3)) {
        let value = |form: i32| match form {
            0 => format!("\\frac{{{a}}}{{{b}}}"),
            1 => format!("{a} \\cdot {b}^{{-1}}"),
            2 => format!("({a}x/{b})/x"),
            3 => format!("{a}\\sin^2 t/{b} + {a}\\cos^2(t)/{b}"),
            4 => format!("\\frac{{{a}\\sqrt{{2}}}}{{{b}\\sqrt{{2}}}}"),
            _ => format!("\\frac{{{}}}{{{}}}", 3 * a, 3 * b),
        };
        for pair in forms.windows(2) {
            assert_equal(&value(pair[0]), &value(pair[1]));
        }
        assert_equal(&value(forms[0]), &value(forms[2]));
    }
}
