//! Writes a view's changes as JSON lines, as `as: changes` does: the columns, `_time` and `_diff`.

use crate::clock::{Clock, Diff, Tick};
use anyhow::{Context, Result};
use differential_dataflow::VecCollection;
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::rc::Rc;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

/// The file of the results, written by the first worker. The first error is kept and told at the end.
#[derive(Clone)]
pub struct Results {
    file: Rc<RefCell<Option<Result<BufWriter<File>>>>>,
}

impl Results {
    /// Creates the file, for worker 0.
    pub fn create(path: &Path, index: usize) -> Result<Self> {
        let file = (index == 0)
            .then(|| File::create(path).with_context(|| format!("writing {}", path.display())))
            .transpose()?
            .map(|file| Ok(BufWriter::with_capacity(1 << 18, file)));
        Ok(Results { file: Rc::new(RefCell::new(file)) })
    }

    fn write(&self, lines: &[u8]) {
        let mut file = self.file.borrow_mut();
        if let Some(Ok(writer)) = file.as_mut()
            && let Err(error) = writer.write_all(lines).and_then(|()| writer.flush())
        {
            *file = Some(Err(error.into()));
        }
    }

    /// The first error that writing met.
    pub fn finish(self) -> Result<()> {
        match self.file.take() {
            Some(file) => file.map(|_| ()).context("writing the results"),
            None => Ok(()),
        }
    }
}

/// One JSON object in the making.
pub struct Line<'a> {
    buffer: &'a mut Vec<u8>,
}

impl Line<'_> {
    fn name(&mut self, name: &str) {
        if self.buffer.last() != Some(&b'{') {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }

    /// A text; escaped where need be.
    pub fn text(&mut self, name: &str, value: impl AsRef<str>) -> &mut Self {
        self.name(name);
        // Writing a text to memory cannot fail; if it ever did, the line would be refused by whoever reads it.
        let _ = serde_json::to_writer(&mut *self.buffer, value.as_ref());
        self
    }

    /// A number, as it displays itself.
    pub fn number(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.name(name);
        // As above.
        let _ = write!(self.buffer, "{value}");
        self
    }
}

/// What a last step gives out.
type NoOutput<'a> = OutputBuilderSession<'a, Tick, CapacityContainerBuilder<Vec<()>>>;

/// Writes the changes of a view, in the order in which they come, and probes their progress.
pub fn write_changes<'s, D>(
    changes: VecCollection<'s, Tick, D, Diff>,
    clock: Clock,
    results: &Results,
    probe: &ProbeHandle<Tick>,
    columns: impl Fn(&mut Line<'_>, &D) + 'static,
) where
    D: ExchangeData,
{
    let results = results.clone();
    let mut buffer = vec![];
    let written = changes.inner.unary(Exchange::new(|_: &(D, Tick, Diff)| 0), "WriteChanges", move |_, _| {
        move |input, _: &mut NoOutput<'_>| {
            input.for_each(|_, changes| {
                for (record, tick, diff) in changes.drain(..) {
                    buffer.push(b'{');
                    let mut line = Line { buffer: &mut buffer };
                    columns(&mut line, &record);
                    line.number("_time", clock.start_of(tick)).number("_diff", diff);
                    buffer.extend_from_slice(b"}\n");
                }
            });
            if !buffer.is_empty() {
                results.write(&buffer);
                buffer.clear();
            }
        }
    });
    written.probe_with(probe);
}
