//! The options about how a view is told that several kinds share: `as`, `clear`, `key`, `ttl`.

use arrow::datatypes::Schema;
use jarvis_runtime::kinds::StreamSpec;
use jarvis_runtime::publish::{As, Publish};
use jarvis_spec::schema::RESERVED_COLUMNS;
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use std::time::Duration;

const THREE_WAYS: &str = "write `as: events` (a row appeared, told once), `as: state` (the latest row per key) or `as: changes` (every +1 and -1)";

/// What a kind has read, and what it knows.
pub(crate) struct Telling<'a> {
    pub stream: &'a StreamSpec,
    /// All options of the sink, for their places.
    pub options: &'a Node,
    pub mode: Option<&'a Spanned<As>>,
    /// The mode if none is written.
    pub default: Option<As>,
    pub clear: bool,
    pub key: Option<&'a [Spanned<String>]>,
    pub ttl: Option<Duration>,
    /// What tells this sink from others of the same stream: `mqtt:jarvis/alerts/{tool}`.
    pub destination: String,
}

impl Telling<'_> {
    /// All findings are reported at once.
    pub fn publish(&self) -> Result<Publish, Diagnostics> {
        let mut findings = Diagnostics::default();
        let mode = findings.keep(self.mode());
        if let Some(mode) = mode {
            self.check_fit(mode, &mut findings);
        }
        let identity = self.key.and_then(|key| findings.keep(columns(key, &self.stream.schema)));
        match mode {
            Some(mode) if findings.is_empty() => {
                let scope = format!("{} {}", self.stream.name, self.destination);
                Ok(Publish { mode, clear: self.clear, identity, ttl: self.ttl, scope })
            }
            _ => Err(findings),
        }
    }

    fn mode(&self) -> Result<As, Diagnostic> {
        self.mode.map(|mode| mode.value).or(self.default).ok_or_else(|| {
            let message = "the sink does not say how to tell a view that changes: `as` is missing";
            Diagnostic::error("missing_key", message).at(self.options.span()).help(THREE_WAYS)
        })
    }

    fn check_fit(&self, mode: As, findings: &mut Diagnostics) {
        let written = [
            ("clear", self.clear, mode == As::Events, "it says that an event has cleared: it goes with `as: events`"),
            (
                "ttl",
                self.ttl.is_some(),
                mode == As::Events,
                "only an event can come too late: it goes with `as: events`",
            ),
            (
                "key",
                self.key.is_some(),
                mode != As::Changes,
                "every change is told whatever its key: it goes with `as: events` and `as: state`",
            ),
        ];
        for (option, _, _, help) in written.into_iter().filter(|(_, written, fits, _)| *written && !fits) {
            let span = self.options.get(option).unwrap_or(self.options).span();
            let message = format!("`{option}` means nothing with `as: {}`", name(mode));
            findings.push(Diagnostic::error("wrong_value", message).at(span).help(help));
        }
        let taken = self.stream.schema.fields().iter().find(|field| RESERVED_COLUMNS.contains(&field.name().as_str()));
        if let Some(taken) = taken.filter(|_| mode != As::Events) {
            let message = format!(
                "the stream `{}` has a column `{}`, which the sink writes itself",
                self.stream.name,
                taken.name()
            );
            let help = format!("give the column another name in the query: SELECT {} AS ...", taken.name());
            findings.push(Diagnostic::error("reserved_column", message).at(self.options.span()).help(help));
        }
    }
}

fn name(mode: As) -> &'static str {
    match mode {
        As::Events => "events",
        As::State => "state",
        As::Changes => "changes",
    }
}

/// The indices of the columns of a key.
fn columns(names: &[Spanned<String>], schema: &Schema) -> Result<Vec<usize>, Diagnostic> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let known = || schema.fields().iter().map(|field| field.name().as_str());
        let Some(index) = known().position(|column| column == name.value) else {
            let message = format!("the stream has no column `{name}`");
            let all = format!("it has {}", known().collect::<Vec<_>>().join(", "));
            return Err(Diagnostic::error("unknown_column", message).at(&name.span).suggest(name, known(), all));
        };
        if columns.contains(&index) {
            let message = format!("the key names the column `{name}` twice");
            return Err(Diagnostic::error("wrong_value", message).at(&name.span).help("leave one of them out"));
        }
        columns.push(index);
    }
    Ok(columns)
}
