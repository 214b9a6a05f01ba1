//! What holds for every input: no panic, symmetry, exactness, round trips.

use std::borrow::Cow;

use flow_verify::{
    Compare, Critique, Extract, Judgement, Label, Outcome, StepJudgement, check_steps, compare, extract,
};
use proptest::prelude::*;

const EXTRACTS: [Extract; 4] = [Extract::FinalLine, Extract::Boxed, Extract::LastNumber, Extract::Auto];
const COMPARES: [Compare; 3] = [Compare::Math, Compare::Exact, Compare::Numeric];

/// Pieces of which troublesome texts are made.
const PIECES: &[&str] = &[
    "\\boxed{",
    "\\frac",
    "{",
    "}",
    "#",
    "####",
    "$",
    "%",
    "\\",
    "<<",
    ">>",
    "=",
    "(",
    ")",
    "-",
    "+",
    "*",
    "**",
    "/",
    "^",
    "x",
    ".",
    ",",
    " ",
    "\n",
    "0",
    "7",
    "12",
    "1,234",
    "1e9",
    "1e999999999",
    "½",
    "−",
    "×",
    "é",
    "²",
    "answer is",
    "A:",
    "\\text{",
    "cm",
    "million",
    "of",
    "Step sentence:",
    "Correctness of the step:",
    "Explanation:",
    "Wrong",
    "<|",
];

fn troublesome() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

/// Spellings of `cents / 100`.
fn spelling() -> impl Strategy<Value = fn(i64) -> String> {
    let spellings: [fn(i64) -> String; 7] = [
        |cents| format!("{}", Decimal(cents)),
        |cents| format!("${}", Decimal(cents)),
        |cents| format!("{}0 eggs", Decimal(cents)),
        |cents| format!("{cents}/100"),
        |cents| format!("\\frac{{{cents}}}{{100}}"),
        |cents| format!("{cents}e-2"),
        |cents| format!("\\({cents} \\times 10^{{-2}}\\)"),
    ];
    prop::sample::select(spellings.to_vec())
}

/// Hundredths, printed as a decimal.
struct Decimal(i64);

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.abs() / 100, self.0.abs() % 100)
    }
}

fn no_function_panics(text: &str, other: &str) {
    for how in EXTRACTS {
        if let Some(found) = extract(text, how) {
            assert!(!found.text.is_empty());
            // Several boxes are joined into a text of its own.
            if let Cow::Borrowed(slice) = found.text {
                assert_eq!(&text[found.range], slice);
            }
        }
    }
    for how in COMPARES {
        assert_eq!(compare(text, other, how).outcome, compare(other, text, how).outcome);
        assert_ne!(compare(text, text, how).outcome, Outcome::Different);
    }
    for step in check_steps(text) {
        assert_eq!(&text[step.range.clone()], step.text);
    }
    if let Ok(critique) = text.parse::<Critique>() {
        assert_eq!(critique.to_string().parse(), Ok(critique));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_safe(text in any::<String>(), other in any::<String>()) {
        no_function_panics(&text, &other);
    }

    #[test]
    fn troublesome_text_is_safe(text in troublesome(), other in troublesome()) {
        no_function_panics(&text, &other);
    }

    #[test]
    fn equal_is_reflexive(text in "[ -~]{0,12}[A-Za-z0-9]") {
        prop_assert_eq!(compare(&text, &text, Compare::Math).outcome, Outcome::Equal);
        prop_assert_eq!(compare(&text, &text, Compare::Exact).outcome, Outcome::Equal);
    }

    #[test]
    fn spellings_of_a_number_are_equal(cents in -99_999_999_i64..99_999_999, a in spelling(), b in spelling()) {
        // Money and eggs are different units.
        let (a, b) = (a(cents), b(cents));
        prop_assume!(!(a.contains('$') && b.contains("eggs") || a.contains("eggs") && b.contains('$')));
        for how in [Compare::Math, Compare::Numeric] {
            prop_assert_eq!(compare(&a, &b, how).outcome, Outcome::Equal, "{} and {}", a, b);
        }
    }

    #[test]
    fn another_number_is_never_equal(cents in 1_000_i64..99_999_999, by in 1_i64..100, a in spelling(), b in spelling()) {
        let verdict = compare(&a(cents), &b(cents + by), Compare::Math);
        prop_assert_ne!(verdict.outcome, Outcome::Equal, "{}", verdict.witness);
    }

    #[test]
    fn one_more_is_different(number in any::<i64>(), a in prop::sample::select(vec!["{}", "{}.0", "+{}", "\\boxed{{}}"])) {
        let next = (i128::from(number) + 1).to_string();
        let number = if number < 0 { number.to_string() } else { a.replace("{}", &number.to_string()) };
        for how in COMPARES {
            prop_assert_eq!(compare(&number, &next, how).outcome, Outcome::Different, "{} and {}", number, next);
        }
    }

    #[test]
    fn sums_and_products_are_judged(a in 1_i64..9999, b in 1_i64..9999, c in 1_i64..99, off in 1_i64..50) {
        let result = (a + b) * c - b;
        let label = |result: i64| check_steps(&format!("So she has ({a} + {b}) * {c} - {b} = ${result} left."))[0].label;
        prop_assert_eq!(label(result), Label::Correct);
        prop_assert_eq!(label(result + off), Label::Wrong);
    }

    #[test]
    fn quotients_may_be_rounded(a in 1_i64..9999, b in 1_i64..999, digits in 1_usize..5) {
        let scale = 10_i64.pow(u32::try_from(digits).expect("small"));
        let rounded = (2 * a * scale + b) / (2 * b);
        let line = |value: i64| format!("{a}/{b} = {}.{:0digits$}", value / scale, value % scale);
        prop_assert_eq!(check_steps(&line(rounded))[0].label, Label::Correct);
        prop_assert_eq!(check_steps(&line(rounded + 2))[0].label, Label::Wrong);
    }

    #[test]
    fn critiques_round_trip(
        steps in prop::collection::vec(("[!-~][ -~]{0,30}[!-~]", any::<bool>(), "|[!-,.-~]([ -,.-~\n]{0,30}[!-,.-~])?"), 1..5),
        answer in any::<bool>(),
    ) {
        let steps = steps.into_iter().map(|(sentence, correct, explanation)| {
            StepJudgement { sentence, judgement: Judgement { correct, explanation } }
        });
        let answer = Judgement { correct: answer, explanation: "Because.".to_owned() };
        let critique = Critique { steps: steps.collect(), answer };
        prop_assert_eq!(critique.to_string().parse(), Ok(critique));
    }
}

/// Were the work of a comparison not counted, each of these would take minutes or all memory.
#[test]
fn what_grows_is_bounded() {
    let joined = |n: usize, between: &str, item: &dyn Fn(usize) -> String| {
        (0..n).map(item).collect::<Vec<_>>().join(between)
    };
    let determinant = |inner: String, _| {
        format!("det([[{inner},1,1,1,1],[1,1,1,1,1],[1,1,1,1,1],[1,1,1,1,1],[1,1,1,1,1]])")
    };
    let cases = [
        ("[[1,1],[1,1]]".repeat(40), "[[1,2],[3,4]]".to_owned()),
        ((0..7).fold("1".to_owned(), determinant), "3".to_owned()),
        (joined(600, "<", &|i| format!("x_{i}")) + "<0", joined(600, ">", &|i| format!("x_{i}")) + ">0"),
        (joined(60, ",", &|i| format!("\\sqrt{{x+{i}}}")), joined(60, ",", &|i| format!("\\sqrt{{y+{i}}}"))),
        (joined(700, "+", &|i| format!("x_{i}")), joined(700, "+", &|i| format!("x_{}", i + 1))),
        ("7".to_owned() + &" mod 5".repeat(60), "3".to_owned()),
        (".25".to_owned() + &"2e-300/".repeat(400) + "2", "3".to_owned()),
        ("5".to_owned() + &"%".repeat(4000), "5".to_owned()),
        ("x".to_owned() + &"! ".repeat(1900), "x".to_owned()),
        ("R".to_owned() + &"∖x".repeat(950), "x".to_owned()),
    ];
    for (a, b) in cases {
        no_function_panics(&a, &b);
        assert_ne!(compare(&a, &b, Compare::Math).outcome, Outcome::Equal, "{a:.40}");
    }
}

/// Were any function quadratic, this would run for hours.
#[test]
fn a_hostile_megabyte_is_read_in_linear_time() {
    for piece in [
        "\\frac{",
        "2^",
        "√2",
        "<<",
        "#",
        "1/3=",
        "1/3+",
        "a=",
        "answer ",
        "\\boxed{",
        "(",
        "-",
        "9",
        "1,",
        "1 1/2 ",
        "111,",
        "\\",
        "1 cent+1=3 cents+",
    ] {
        let text = piece.repeat(1_000_000 / piece.len());
        no_function_panics(&text, "1");
    }
    for number in ["1e999999999", "1e-999999999", &"9".repeat(4000), "2^999999999", "9^9^9^9^9"] {
        no_function_panics(number, "1");
        assert_ne!(compare(number, "1", Compare::Math).outcome, Outcome::Equal);
    }
}
