//! `flow explain`: what the code of a mistake means, with a wrong and a right example.

use std::fmt::Write;

use flow_spec::{Code, suggest};

use crate::halt::Halt;
use crate::{Exit, codes, term};

/// Arguments of `explain`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The code, such as E0101; all codes are listed without one.
    code: Option<String>,
}

/// Prints the explanation of a code, or the list of all.
pub(crate) fn explain(args: &Args) -> Result<Exit, Halt> {
    let Some(wanted) = &args.code else {
        let lines: String = all().map(|code| format!("{}  {}\n", code.id, code.title)).collect();
        term::data(&lines)?;
        return Ok(Exit::Done);
    };
    match all().find(|code| code.id.eq_ignore_ascii_case(wanted)) {
        Some(code) => term::data(&text(code)).map(|()| Exit::Done),
        None => {
            let near = suggest(&wanted.to_uppercase(), all().map(|code| code.id));
            let near = near.map(|id| format!(" (did you mean {id}?)")).unwrap_or_default();
            term::tell(&format!("there is no code `{wanted}`{near}; `flow explain` lists all\n"));
            Ok(Exit::Usage)
        }
    }
}

/// Every code of the program, in order.
fn all() -> impl Iterator<Item = &'static Code> {
    let tables =
        [flow_spec::codes::CODES, flow_plan::codes::CODES, flow_operators::codes::CODES, codes::CODES];
    let mut codes: Vec<&Code> = tables.into_iter().flatten().collect();
    codes.sort_by_key(|code| code.id);
    codes.into_iter()
}

fn text(code: &Code) -> String {
    let mut text = format!("{}: {}\n\n{}\n", code.id, code.title, code.text);
    let examples = [("Wrong", code.wrong), ("Right", code.right)].into_iter();
    for (title, example) in examples.filter(|(_, example)| !example.is_empty()) {
        write!(text, "\n{title}:\n\n").expect("writing to a string cannot fail");
        example.lines().for_each(|line| text.extend(["    ", line, "\n"]));
    }
    text
}
