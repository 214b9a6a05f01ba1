//! Text in columns.

/// Lines of cells padded to equal width. A column of numbers under a heading stands to the right.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let columns: Vec<(usize, bool)> = (0..).map_while(|at| measure(rows, at)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, (width, right)) in row.iter().zip(&columns) {
            let padding = " ".repeat(width - cell.chars().count());
            line.extend(if *right { [padding.as_str(), cell] } else { [cell, padding.as_str()] });
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Width of the column at `at`, and whether it stands to the right; none past the last.
fn measure(rows: &[Vec<String>], at: usize) -> Option<(usize, bool)> {
    let cells: Vec<&String> = rows.iter().filter_map(|row| row.get(at)).collect();
    let width = cells.iter().map(|cell| cell.chars().count()).max()?;
    let is_number = |cell: &&String| cell.chars().all(|c| c.is_ascii_digit() || c == ',');
    Some((width, cells.len() > 1 && cells[1..].iter().all(is_number)))
}

/// The number with commas between groups of three digits.
pub(crate) fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = if n < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 row`, `1,200 rows`.
pub(crate) fn counted(n: i64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text =
            columns(&[row(["step", "rows", "note"]), row(["é", "1,200", ""]), row(["longer", "7", "x"])]);
        assert_eq!(text, "step     rows  note\né       1,200\nlonger      7  x\n");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        let told = [0, 999, 1000, -1_234_567].map(grouped);
        assert_eq!(told, ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!([0, 1, 2000].map(|n| counted(n, "row")), ["0 rows", "1 row", "2,000 rows"]);
    }
}
