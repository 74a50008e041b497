//! Lines of text, written in large pieces.

use std::io::{self, Write};

/// As much as is worth one call of the operating system.
const PIECE: usize = 256 * 1024;

/// Collects lines and writes them in pieces of 256 KiB.
pub struct Lines<W: Write> {
    buffer: Vec<u8>,
    out: W,
}

impl<W: Write> Lines<W> {
    pub fn new(out: W) -> Self {
        Self { buffer: Vec::new(), out }
    }

    /// Adds one line; `fill` writes it without its line end.
    ///
    /// # Errors
    /// The writer refuses.
    pub fn line(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        fill(&mut self.buffer);
        self.buffer.push(b'\n');
        if self.buffer.len() >= PIECE { self.write_out() } else { Ok(()) }
    }

    /// Hands over all lines.
    ///
    /// # Errors
    /// The writer refuses.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }

    /// The writer, after all lines.
    ///
    /// # Errors
    /// The writer refuses.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
