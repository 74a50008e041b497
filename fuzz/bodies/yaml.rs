//! Any text is a pipeline or is refused with findings that have a place and can be shown.

use jarvis_spec::{SourceText, parse_pipeline};

/// `NONE` is a variable that is not set.
fn environment(name: &str) -> Option<String> {
    (name != "NONE").then(|| format!("value of {name}"))
}

pub fn read(text: &str) {
    let Err(findings) = parse_pipeline(SourceText::new("a.yaml", text), &environment) else { return };
    assert!(findings.has_errors(), "what is refused is refused with an error");
    for finding in &findings {
        assert!(!finding.to_string().is_empty());
        let Some(span) = &finding.span else { continue };
        let (start, end) = (span.start.offset, span.end.offset);
        assert!(start <= end && text.is_char_boundary(start) && text.is_char_boundary(end), "{span:?}");
    }
}
