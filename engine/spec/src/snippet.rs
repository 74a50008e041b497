//! The text form of a diagnostic: the message, the line of the file it is about, and carets below.

use crate::{Diagnostic, Span};
use std::fmt;

/// Columns that a tab takes on the screen.
const TAB: usize = 4;
/// Longer lines are cut around the place they are shown for.
const WIDEST: usize = 140;

/// Writes `diagnostic` without a line break at the end.
pub(crate) fn render(diagnostic: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}[{}]: {}", diagnostic.severity, diagnostic.code, printable(&diagnostic.message))?;
    if let Some(span) = &diagnostic.span {
        render_span(span, '^', f)?;
    }
    for note in &diagnostic.notes {
        write!(f, "\nnote: {}", printable(&note.message))?;
        if let Some(span) = &note.span {
            render_span(span, '-', f)?;
        }
    }
    match &diagnostic.help {
        Some(help) => write!(f, "\nhelp: {}", printable(help)),
        None => Ok(()),
    }
}

fn render_span(span: &Span, mark: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = span.start.line.to_string();
    let margin = " ".repeat(number.len());
    let line = Line::around(span);
    write!(f, "\n{margin}--> {span}")?;
    write!(f, "\n{margin} |")?;
    write!(f, "\n{number} | {}", line.shown)?;
    write!(f, "\n{margin} | {}{}", " ".repeat(line.before), mark.to_string().repeat(line.marked))
}

/// A line as it is shown, and which columns of the screen the span takes in it.
struct Line {
    shown: String,
    before: usize,
    marked: usize,
}

impl Line {
    fn around(span: &Span) -> Self {
        let cells = span.text.line(span.start.line).chars().map(cell).collect::<Vec<_>>();
        let start = (span.start.column - 1).min(cells.len());
        let end = if span.end.line > span.start.line { cells.len() } else { (span.end.column - 1).min(cells.len()) };
        let width = |range: std::ops::Range<usize>| cells[range].iter().map(|c| c.width).sum::<usize>();
        let (mut from, mut to) = (0, cells.len());
        let (mut lead, mut tail) = ("", "");
        if width(0..cells.len()) > WIDEST {
            from = start.saturating_sub(WIDEST / 3);
            to = (from + WIDEST).min(cells.len());
            lead = if from > 0 { "…" } else { "" };
            tail = if to < cells.len() { "…" } else { "" };
        }
        let end = end.clamp(start, to);
        let text = cells[from..to].iter().map(|c| c.text.as_str()).collect::<String>();
        Line {
            shown: format!("{lead}{}{tail}", text.trim_end()),
            before: usize::from(from > 0) + width(from..start),
            marked: width(start..end).max(1),
        }
    }
}

/// One character on the screen.
struct Cell {
    text: String,
    width: usize,
}

fn cell(c: char) -> Cell {
    match c {
        '\t' => Cell { text: " ".repeat(TAB), width: TAB },
        c if steers_terminal(c) => Cell { text: "\u{fffd}".to_owned(), width: 1 },
        c => Cell { text: c.to_string(), width: width(c) },
    }
}

/// A text that cannot steer a terminal: line breaks and tabs stay, other control characters are replaced.
fn printable(text: &str) -> String {
    let replace = |c: char| if steers_terminal(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(replace).collect()
}

/// Control characters, and the marks that reverse the direction of text.
fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Columns that a character takes on most terminals: none for combining marks, two for the wide blocks of
/// Unicode Standard Annex 11, one for all others.
fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' => 2,
        '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' => 2,
        '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Diagnostic, SourceText};

    /// The lines below `-->` for the first `word` in `text`.
    fn shown(text: &str, word: &str) -> String {
        let source = SourceText::new("a.yaml", text);
        let start = text.find(word).expect("the word stands in the text");
        let span = source.span(start, start + word.len());
        let rendered = Diagnostic::error("code", "message").at(&span).to_string();
        rendered.split_once(" |\n").expect("a snippet").1.to_owned()
    }

    #[test]
    fn carets_stand_below_the_word() {
        assert_eq!(shown("a: b\nkey: word\n", "word"), "2 | key: word\n  |      ^^^^");
    }

    #[test]
    fn tabs_take_four_columns() {
        assert_eq!(shown("k:\tword", "word"), "1 | k:    word\n  |       ^^^^");
    }

    #[test]
    fn wide_and_combining_characters_take_their_columns() {
        assert_eq!(shown("名前: word", "word"), "1 | 名前: word\n  |       ^^^^");
        assert_eq!(shown("e\u{301}: word", "word"), "1 | e\u{301}: word\n  |    ^^^^");
        assert_eq!(shown("ü: wörd", "wörd"), "1 | ü: wörd\n  |    ^^^^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_word() {
        let text = format!("{}word{}", "x".repeat(1000), "y".repeat(1000));
        let lines = shown(&text, "word");
        assert!(lines.lines().all(|line| line.chars().count() < 200), "{lines}");
        let (line, carets) = lines.split_once('\n').expect("two lines");
        let place = |text: &str, word: &str| text.find(word).map(|at| text[..at].chars().count());
        assert_eq!(place(line, "word"), place(carets, "^^^^"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!shown("a: \u{1b}[31m word", "word").contains('\u{1b}'));
        assert!(!Diagnostic::error("code", "\u{1b}[2J").to_string().contains('\u{1b}'));
    }
}
