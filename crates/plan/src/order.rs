//! The order of steps: producers first, otherwise as in the text; and the circles that make one impossible.

use flow_spec::{Diagnostic, Span};

use crate::codes;
use crate::draft::Draft;

/// Who waits for whom: for each step the steps it needs, with the place where it says so.
pub(crate) type Needs = Vec<Vec<(usize, Span)>>;

/// Positions in the order of work, without those in a circle or behind one. Equal claims are settled by the text.
pub(crate) fn sorted(needs: &Needs) -> Vec<usize> {
    let mut done = vec![false; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    while let Some(next) =
        (0..needs.len()).find(|at| !done[*at] && needs[*at].iter().all(|(need, _)| done[*need]))
    {
        done[next] = true;
        order.push(next);
    }
    order
}

/// Reports every circle once, with all of its members.
pub(crate) fn report_circles(draft: &mut Draft<'_>, needs: &Needs, order: &[usize]) {
    let mut seen = vec![false; needs.len()];
    order.iter().for_each(|at| seen[*at] = true);
    for start in 0..needs.len() {
        while let Some(circle) = circle_from(start, needs, &mut Vec::new(), &mut seen) {
            circle.iter().for_each(|(step, _)| seen[*step] = true);
            report(draft, &circle);
        }
    }
}

/// The first circle on a walk against the flow that came by `path` to the step `at`: steps, each with the place where it
/// says that it needs the next. Steps in `seen` lead to none; those found to lead to none are added.
fn circle_from(
    at: usize,
    needs: &Needs,
    path: &mut Vec<(usize, Span)>,
    seen: &mut [bool],
) -> Option<Vec<(usize, Span)>> {
    if let Some(first) = path.iter().position(|(step, _)| *step == at) {
        return Some(path.split_off(first));
    }
    if seen[at] {
        return None;
    }
    for (need, span) in &needs[at] {
        path.push((at, *span));
        if let Some(circle) = circle_from(*need, needs, path, seen) {
            return Some(circle);
        }
        path.pop();
    }
    seen[at] = true;
    None
}

/// Names the circle from its first member in the text.
fn report(draft: &mut Draft<'_>, circle: &[(usize, Span)]) {
    let start = circle.iter().enumerate().min_by_key(|(_, (step, _))| *step).map_or(0, |(at, _)| at);
    let circle: Vec<(usize, Span)> = circle[start..].iter().chain(&circle[..start]).copied().collect();
    let name = |at: usize| draft.steps[circle[at % circle.len()].0].spec.name.as_str();
    let diagnostic = match circle.as_slice() {
        [(_, span)] => Diagnostic::new(&codes::CYCLE, *span, format!("step `{}` waits for itself", name(0))),
        circle => {
            let names: Vec<String> = (0..=circle.len()).map(|at| format!("`{}`", name(at))).collect();
            let words = format!("steps wait for each other in a circle: {}", names.join(" for "));
            let more = circle.iter().enumerate().skip(1);
            more.fold(
                Diagnostic::new(&codes::CYCLE, circle[0].1, words).label(format!(
                    "`{}` waits for `{}`",
                    name(0),
                    name(1)
                )),
                |diagnostic, (at, (_, span))| {
                    diagnostic.related(*span, format!("`{}` waits for `{}`", name(at), name(at + 1)))
                },
            )
        }
    };
    draft.report(diagnostic);
}
