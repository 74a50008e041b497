//! What people see: findings and errors on the standard error, results on the standard output, colours only where
//! there is somebody to see them.

use jarvis_spec::Diagnostics;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Says why a command failed, and gives the exit status for that.
pub fn complain(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        // Whoever read the output has seen enough.
        return ExitCode::SUCCESS;
    }
    match error.downcast_ref::<Diagnostics>() {
        Some(found) => show_findings(found),
        None => say(&coloured("error:", RED, error_text(error))),
    }
    ExitCode::FAILURE
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}

/// The error and its causes. Many errors say their cause themselves: what has been said is not said again.
fn error_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.extend([": ", &cause]);
        }
    }
    text
}

fn coloured(word: &str, colour: &str, rest: impl Display) -> String {
    if on_terminal(&io::stderr()) { format!("{colour}{word}{PLAIN} {rest}") } else { format!("{word} {rest}") }
}

/// Shows findings about pipelines.
pub fn show_findings(found: &Diagnostics) {
    let text = found.to_string();
    if !on_terminal(&io::stderr()) {
        say(&text);
        return;
    }
    let mut shown = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let colour = match line {
            _ if line.starts_with("error") => RED,
            _ if line.starts_with("warning") => YELLOW,
            _ if line.starts_with("help:") => CYAN,
            _ => "",
        };
        let end = if colour.is_empty() { 0 } else { line.find(':').map_or(line.len(), |at| at + 1) };
        let (head, rest) = line.split_at(end);
        let parts = if head.is_empty() { [rest, "", "", ""] } else { [colour, head, PLAIN, rest] };
        shown.extend(parts);
        shown.push('\n');
    }
    say(shown.trim_end());
}

/// A line for people, on the standard error. That nobody reads it is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a result, on the standard output.
///
/// # Errors
/// The output takes no more.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Whether colours and cursor movements make sense here (see <https://no-color.org>).
pub fn on_terminal(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `1 row`, `2 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Lines up rows of cells; the first row is the heading. Numbers stand on the right.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let is_number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let numeric: Vec<bool> = (0..widths.len())
        .map(|c| rows.len() > 1 && rows.iter().skip(1).all(|row| row.get(c).is_some_and(|cell| is_number(cell))))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let (before, after) = if numeric[column] { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.extend([before, cell, after, "  "]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right_under_their_heading() {
        let rows = [["stream", "rows"], ["a.b", "7"], ["long.name", "123"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "stream     rows\na.b           7\nlong.name   123\n");
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file").context("x.yaml: no such file").context("cannot start");
        assert_eq!(error_text(&error), "cannot start: x.yaml: no such file");
    }

    #[test]
    fn one_thing_has_no_plural() {
        assert_eq!((counted(1, "row"), counted(0, "row")), ("1 row".to_owned(), "0 rows".to_owned()));
    }
}
