//! The command line as it was typed, to be shown and typed again.

use std::ffi::OsString;

/// The words in one line, quoted for a shell where they need it.
pub(crate) fn again(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_words() {
        let words = ["flow", "exec", "a b.yaml", "--set", "name=it's {x: $1}", "", "steps.s.n=4"];
        let line = again(&words.map(OsString::from));
        assert_eq!(line, r"flow exec 'a b.yaml' --set 'name=it'\''s {x: $1}' '' steps.s.n=4");
        let script = format!("printf '%s|' {line}");
        let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), words.join("|") + "|");
    }
}
