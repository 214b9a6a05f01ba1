//! Extraction on texts with and without answers.

use proptest::prelude::*;

use super::*;

fn find<'a>(completion: &'a str, extraction: &Extraction) -> Option<Cow<'a, str>> {
    let found = extraction.find(completion).ok()?;
    if let Cow::Borrowed(text) = found.text {
        assert_eq!(&completion[found.range], text);
    }
    Some(found.text)
}

fn check(rule: Extract, cases: &[(&str, Option<&str>)]) {
    for (completion, expected) in cases {
        let found = find(completion, &rule.clone().into());
        assert_eq!(found.as_deref(), *expected, "{} in {completion}", rule.name());
    }
}

#[test]
fn final_lines() {
    check(
        Extract::FinalLine,
        &[
            ("She has 9.\n#### 18", Some("18")),
            ("#### 18.\n", Some("18")),
            ("#### 18.50 dollars.", Some("18.50 dollars")),
            ("#### $1,200\nmore", Some("$1,200")),
            ("#### 1\n#### 2", Some("2")),
            ("The answer is #### 42<|eot_id|>", Some("42")),
            ("#### <<48/2=24>>24", Some("24")),
            ("#### **7**", Some("7")),
            ("#### 5\n##### heading", Some("5")),
            ("####\n18", None),
            ("18", None),
            ("", None),
        ],
    );
}

#[test]
fn boxes() {
    check(
        Extract::Boxed,
        &[
            ("$\\boxed{1}$ so that in the end $\\boxed{\\frac{1}{2}}$.", Some("\\frac{1}{2}")),
            ("\\boxed{\\left\\{1\\right\\}}", Some("\\left\\{1\\right\\}")),
            ("\\boxed{ 7. }", Some("7")),
            ("\\boxed{x = \\boxed{3}}", Some("x = \\boxed{3}")),
            ("\\boxed{ \\boxed{3} }", Some("3")),
            ("\\boxed {5} \\fbox{6} is it", Some("5, 6")),
            ("$\\boxed 5$", Some("5")),
            ("in {braces \\boxed{5}", Some("5")),
            ("\\boxed{3 and then \\boxed{4}", Some("4")),
            ("so \\\\boxed{24}.", Some("24")),
            ("\\boxed{1} and \\boxed{2", None),
            ("\\boxed{}", None),
            ("\\boxedx{1}", None),
            ("no box", None),
        ],
    );
}

#[test]
fn several_boxes_are_one_answer_or_the_last() {
    let cases = [
        ("$\\boxed{1}$ and $\\boxed{2}$", "2", "1, 2", "1, 2"),
        ("\\boxed{1}, \\boxed{2} or \\boxed{1}", "1", "1, 2", "1, 2"),
        ("$\\boxed{k=4} \\quad \\text{and} \\quad \\boxed{n=2}$", "n=2", "k=4, n=2", "k=4, n=2"),
        ("\\boxed{1} was wrong, it is \\boxed{2}", "2", "2", "1, 2"),
        ("\\boxed{1} = \\boxed{2}", "2", "2", "1, 2"),
        ("$x_1 = \\boxed{1}$ and $x_2 = \\boxed{2}$", "2", "1, 2", "1, 2"),
        ("\\boxed{1}, so $x = \\boxed{2}$", "2", "2", "1, 2"),
    ];
    for (text, last, joined, all) in cases {
        for (boxes, expected) in [(Boxes::Last, last), (Boxes::Joined, joined), (Boxes::All, all)] {
            let extraction = Extraction { rule: Extract::Boxed, boxes, ..Extraction::default() };
            assert_eq!(find(text, &extraction).as_deref(), Some(expected), "{boxes:?} of {text}");
        }
    }
}

#[test]
fn other_rules() {
    check(Extract::Tag, &[("<answer> 84 </answer>", Some("84")), ("<answer>5", Some("5")), ("5", None)]);
    check(Extract::LastNumber, &[("Four eggs", Some("4")), ("Two or three", None), ("Four of 5", Some("5"))]);
    check(Extract::LastLine, &[("a\n**b**.\n\n", Some("b")), ("a", Some("a")), (" \n", None)]);
    check(Extract::Whole, &[(" 1,234.\n", Some("1,234")), ("  ", None)]);
    check("json:answer".parse().unwrap(), &[("{\"answer\": 5}", Some("5")), ("5", None)]);
    check("regex:= *(.+)$".parse().unwrap(), &[("x = 5", Some("5")), ("5", None)]);
}

#[test]
fn automatic_order() {
    let cases = [
        ("#### 3\n\\boxed{4}", Some(("4", "boxed"))),
        (
            "\\boxed{3} and 4 more. Final Answer: The final answer is $7$. I hope it is correct.",
            Some(("$7$", "phrase")),
        ),
        ("The final answer is \\boxed{3}.", Some(("3", "boxed"))),
        ("The answer is 5.\n#### 3", Some(("3", "final_line"))),
        ("The answer is 5. <answer>3</answer>", Some(("3", "tag"))),
        ("So the answer is: **$18.50**. It is 7.", Some(("$18.50", "phrase"))),
        ("Final Answer: The largest $n$ is 34.", Some(("34", "phrase"))),
        ("So $x = 5$ holds", Some(("$x = 5$", "last_expression"))),
        ("In total $1,234.", Some(("$1,234", "last_expression"))),
        ("\\boxed{3", None),
        ("nothing", None),
    ];
    for (completion, expected) in cases {
        let found = extract(completion, Extract::Auto);
        assert_eq!(found.as_ref().map(|found| (&*found.text, found.method)), expected, "{completion}");
    }
}

#[test]
fn strictness_decides_how_clear_an_answer_must_be() {
    let cases = [
        ("\\boxed{1}", Some("1"), Some("1"), Some("1")),
        ("it is 5", None, Some("5"), Some("5")),
        ("it is blue", None, None, Some("it is blue")),
        ("\\boxed{3", None, None, Some("3")),
        ("<think>\\boxed{3}</think> So \\boxed{4}", Some("4"), Some("4"), Some("4")),
        ("<think>\\boxed{3}</think> Done", None, None, Some("Done")),
        ("<think>so \\boxed{3}, but wait", None, None, Some("3")),
    ];
    for (text, strict, normal, lenient) in cases {
        for (strictness, expected) in
            [(Strictness::Strict, strict), (Strictness::Normal, normal), (Strictness::Lenient, lenient)]
        {
            let extraction = Extraction { strictness, ..Extraction::default() };
            assert_eq!(find(text, &extraction).as_deref(), expected, "{strictness:?}: {text}");
        }
    }
}

#[test]
fn what_is_missing_is_told() {
    let cases = [
        (" \n", NoAnswer::Empty, "no answer found: the completion is empty"),
        ("<think>5", NoAnswer::Unfinished, "no answer found: the reasoning never ends"),
        ("\\boxed{5", NoAnswer::OpenBox, "no answer found: the last box never closes"),
        ("\\boxed{}", NoAnswer::EmptyBox, "no answer found: the box is empty"),
        ("no idea", NoAnswer::Unstated("auto"), "no answer found by `auto`"),
    ];
    for (text, missing, words) in cases {
        let told = Extraction::default().find(text).expect_err(text);
        assert_eq!((told, told.to_string().as_str()), (missing, words));
    }
}

/// Every rule, in every strictness and reading of boxes.
fn extractions() -> impl Iterator<Item = Extraction> {
    let names =
        Extract::NAMES.iter().map(|name| name.replace("PATH", "a.b[0]").replace("PATTERN", "[0-9a]+$"));
    names.flat_map(|name| {
        let rule: Extract = name.parse().expect("a rule");
        let strictness = [Strictness::Strict, Strictness::Normal, Strictness::Lenient].into_iter();
        let boxes = [Boxes::Last, Boxes::Joined, Boxes::All];
        strictness
            .flat_map(move |strictness| boxes.map(|boxes| (strictness, boxes)))
            .map(move |(strictness, boxes)| Extraction { rule: rule.clone(), strictness, boxes })
    })
}

/// Pieces of which troublesome texts are made.
const PIECES: &[&str] = &[
    "\\boxed{",
    "\\boxed ",
    "\\fbox{",
    "{",
    "}",
    "\\",
    "$",
    "$$",
    "\\[",
    "\\]",
    "\\(",
    "\\)",
    "#",
    "####",
    "<answer>",
    "</answer>",
    "<think>",
    "</think>",
    "<|",
    "<<",
    ">>",
    "answer is ",
    "Answer",
    ":",
    "**",
    "\n",
    " ",
    "A:",
    "答案",
    "是",
    "：",
    "故选",
    "(B)",
    "B",
    "b.",
    "option ",
    "{\"a\": ",
    "[",
    "]",
    "\"",
    ",",
    "1",
    "0.5",
    "é",
    "。",
    ".",
    "\\u00",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_safe(text in any::<String>()) {
        for extraction in extractions() {
            if let Ok(found) = extraction.find(&text) {
                prop_assert!(!found.text.trim().is_empty());
            }
        }
    }

    #[test]
    fn troublesome_text_is_safe(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        let text = pieces.concat();
        for extraction in extractions() {
            if let Ok(found) = extraction.find(&text) {
                prop_assert!(text.is_char_boundary(found.range.start) && text.is_char_boundary(found.range.end));
                prop_assert!(!found.text.is_empty() && !found.range.is_empty());
                if let Cow::Borrowed(slice) = found.text {
                    prop_assert_eq!(slice, &text[found.range]);
                }
            }
        }
    }

    #[test]
    fn a_stated_answer_is_found_wherever_it_stands(
        answer in "[1-9][0-9]{0,6}(\\.[0-9]{1,3})?|\\\\frac\\{[1-9]\\}\\{[1-9]\\}|[a-z]\\^\\{?[2-9]\\}?",
        before in "[ -#%-;=?-Z^-z|~\n]{0,60}",
        after in "( [b-z]{1,9}){0,6}",
    ) {
        let balanced = format!("x_{{{answer}}}").matches('{').count() == format!("x_{{{answer}}}").matches('}').count();
        prop_assume!(balanced);
        for stated in [
            format!("{before}\\boxed{{{answer}}}{after}"),
            format!("{before}\n#### {answer}\n{after}"),
            format!("{before} <answer>{answer}</answer>{after}"),
            format!("{before}\nThe answer is {answer}. {after}"),
            format!("{before}\n所以答案是{answer}。{after}"),
        ] {
            // What stands before may be a mark that never ends or a stronger one.
            prop_assume!(!before.contains("####") && !before.contains("oxed"));
            let found = extract(&stated, Extract::Auto).map(|found| found.text.into_owned());
            prop_assert_eq!(found.as_deref(), Some(answer.as_str()), "{}", stated);
        }
    }
}

/// Were any rule quadratic, this would run for hours.
#[test]
fn long_hostile_texts_are_read_in_linear_time() {
    let more = ["\\boxed{\\boxed{1}", "{\"a\": [", "$x$ ", "The answer to a ", "\"\\", "(A) "];
    for piece in PIECES.iter().chain(&more) {
        let text = piece.repeat(1_000_000 / piece.len());
        for extraction in extractions().filter(is_widest) {
            // What is found does not matter here, only that the search ends.
            let _ = extraction.find(&text);
        }
    }
}

/// Whether an extraction looks everywhere that any of its rule does.
fn is_widest(extraction: &Extraction) -> bool {
    extraction.strictness == Strictness::Lenient && extraction.boxes == Boxes::All
}
