//! The program that a completion states.

/// The text between the last pair of fences (lines that begin with three backticks), else the whole. A last fence that
/// nothing closes opens a block up to the end: the completion was cut off. `None` when there is nothing but blanks.
pub(super) fn program(completion: &str) -> Option<String> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut open = false;
    for line in completion.lines() {
        if line.trim_start().starts_with("```") {
            open = !open;
            if open {
                blocks.push(Vec::new());
            }
        } else if let Some(block) = blocks.last_mut().filter(|_| open) {
            block.push(line);
        }
    }
    let text = blocks.pop().map_or_else(|| completion.to_owned(), |block| block.join("\n") + "\n");
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_counts_and_without_one_the_whole() {
        for (completion, expected) in [
            ("print(1)", Some("print(1)")),
            ("So:\n```python\nprint(1)\n```\nDone.", Some("print(1)\n")),
            ("```py\nprint(1)\n```\nor\n```\nprint(2)\nprint(3)\n```", Some("print(2)\nprint(3)\n")),
            ("```python\nprint(1)", Some("print(1)\n")),
            ("  ```python\n  x = 1\n  ```", Some("  x = 1\n")),
            (" \n", None),
            ("```\n```", None),
        ] {
            assert_eq!(program(completion).as_deref(), expected, "{completion}");
        }
    }
}
