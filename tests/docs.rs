//! What README and `docs/` show is run: every pipeline is checked, its tests are run, and where a page shows the file that a
//! pipeline leaves behind, it is compared.
//!
//! A page's fences say what they are: `yaml` that begins with `pipeline:` is a pipeline, `.. file=NAME` is a file beside it,
//! `.. result=NAME` is what the pipeline above it must leave in that file, and the lines of `sh` that begin with `jarvis` are
//! commands that must succeed. Each page has a folder of its own, with a copy of `pipelines/` and `config/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A fenced part of a page.
struct Fence {
    /// What follows the three backticks.
    info: String,
    body: String,
    /// The line of the page on which it begins.
    line: usize,
}

impl Fence {
    /// The pipeline that it shows.
    fn pipeline(&self) -> Option<&str> {
        let first = self.body.lines().next()?;
        (self.info == "yaml").then(|| first.strip_prefix("pipeline:").map(str::trim)).flatten()
    }

    /// The name after `key=` in its first line.
    fn named(&self, key: &str) -> Option<&str> {
        self.info.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

fn fences(page: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                open = Some(Fence { info: info.trim().to_owned(), body: String::new(), line: index + 1 });
            }
            (Some(_), Some(fence)) => fences.push(fence),
            (None, Some(mut fence)) => {
                fence.body.push_str(line);
                fence.body.push('\n');
                open = Some(fence);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    fences
}

/// A page and the folder in which what it shows is run.
struct Page {
    name: &'static str,
    fences: Vec<Fence>,
    folder: TempDir,
}

impl Page {
    fn lay_out(name: &'static str) -> Self {
        let root = Path::new(".");
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for shipped in ["pipelines", "config"] {
            copy(&root.join(shipped), &folder.path().join(shipped));
        }
        let page = Self { name, fences: fences(&text), folder };
        for fence in &page.fences {
            let file = match (fence.pipeline(), fence.named("file")) {
                (Some(pipeline), _) => page.pipeline_file(pipeline),
                (None, Some(file)) => page.beside(file),
                (None, None) => continue,
            };
            assert!(!file.exists(), "{}:{}: {} is there already", name, fence.line, file.display());
            std::fs::write(file, &fence.body).unwrap();
        }
        page
    }

    fn pipeline_file(&self, pipeline: &str) -> PathBuf {
        self.beside(&format!("{pipeline}.yaml"))
    }

    fn beside(&self, file: &str) -> PathBuf {
        self.folder.path().join("pipelines").join(file)
    }

    /// Runs `jarvis` in the page's folder.
    fn try_jarvis(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("JARVIS_MQTT")
            .output()
            .unwrap()
    }

    /// Runs `jarvis` in the page's folder; it must succeed.
    fn jarvis(&self, line: usize, arguments: &[&str]) -> Output {
        let output = self.try_jarvis(arguments);
        assert!(
            output.status.success(),
            "{}:{line}: `jarvis {}` ended with {}\n{}{}",
            self.name,
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        output
    }

    fn run_pipelines(&self) {
        let mut above = None;
        for fence in &self.fences {
            if let Some(pipeline) = fence.pipeline() {
                let file = format!("pipelines/{pipeline}.yaml");
                self.jarvis(fence.line, &["check", &file]);
                if fence.body.contains("\ntests:\n") {
                    self.jarvis(fence.line, &["test", &file]);
                }
                above = Some(file);
            } else if let Some(result) = fence.named("result") {
                let file = above.as_deref().expect("a pipeline stands above its result");
                self.jarvis(fence.line, &["run", file]);
                let found = std::fs::read_to_string(self.beside(result)).unwrap();
                assert_eq!(rows(&found), rows(&fence.body), "{}:{}: {result}", self.name, fence.line);
            }
        }
    }

    fn run_commands(&self) {
        for fence in self.fences.iter().filter(|fence| fence.info == "sh") {
            for command in fence.body.lines() {
                let mut words = command.split_whitespace();
                assert_eq!(words.next(), Some("jarvis"), "{}:{}: `{command}`", self.name, fence.line);
                self.jarvis(fence.line, &words.collect::<Vec<_>>());
            }
        }
    }
}

/// JSON lines in an order of their own, and their fields too, for a table has none.
fn rows(text: &str) -> Vec<String> {
    let fields = |line| serde_json::from_str::<BTreeMap<String, serde_json::Value>>(line).unwrap();
    let mut rows: Vec<String> = text.lines().map(|line| format!("{:?}", fields(line))).collect();
    rows.sort();
    rows
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn readme() {
    let page = Page::lay_out("README.md");
    page.run_pipelines();
    page.run_commands();
}

#[test]
fn writing_pipelines() {
    let page = Page::lay_out("docs/writing-pipelines.md");
    page.run_pipelines();
    page.run_commands();
}

#[test]
fn log() {
    Page::lay_out("docs/log.md").run_commands();
}

#[test]
fn vision() {
    Page::lay_out("docs/vision.md").run_commands();
}

#[test]
fn print_watch() {
    Page::lay_out("docs/print-watch.md").run_pipelines();
}

#[test]
fn presence() {
    Page::lay_out("docs/presence.md").run_pipelines();
}

#[test]
fn sql() {
    let page = Page::lay_out("docs/sql.md");
    page.run_pipelines();
    page.run_commands();
}

/// The sources that the examples of the table in `docs/sql.md` read, before one of its queries.
const EXAMPLE: &str = "\
pipeline: example
sources:
  reading:
    file: { path: reading.jsonl }
    schema: { room: utf8, sensor: utf8, value: float64, at: timestamp }
    time: at
    lateness: 5s
    retain: 1h
  known:
    file: { path: known.jsonl }
    schema:
      sensor: utf8?
    retain: forever
operators:
  view:
    sql: ";

#[test]
fn what_the_sql_page_refuses_is_refused_and_what_it_says_instead_is_not() {
    let page = Page::lay_out("docs/sql.md");
    let text = std::fs::read_to_string(Path::new(".").join(page.name)).unwrap();
    let mut refused = 0;
    for data in ["reading.jsonl", "known.jsonl"] {
        std::fs::write(page.beside(data), "").unwrap();
    }
    for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        let [query, _, instead] = cells[..] else { panic!("docs/sql.md:{}: not three cells", index + 1) };
        std::fs::write(page.pipeline_file("example"), format!("{EXAMPLE}{query}\n")).unwrap();
        let output = page.try_jarvis(&["check", "pipelines/example.yaml"]);
        assert_eq!(output.status.code(), Some(1), "docs/sql.md:{}: `{query}`", index + 1);
        if instead.starts_with("SELECT") {
            std::fs::write(page.pipeline_file("example"), format!("{EXAMPLE}{instead}\n")).unwrap();
            page.jarvis(index + 1, &["check", "pipelines/example.yaml"]);
        }
        refused += 1;
    }
    assert!(refused > 10, "the table has gone");
}

#[test]
fn shipped_pipelines_pass_their_own_tests() {
    let page = Page::lay_out("docs/sql.md");
    page.jarvis(0, &["check", "pipelines"]);
    let output = page.jarvis(0, &["test", "pipelines"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(", 0 failed") && !last.starts_with("0 "), "{said}");
}

#[test]
fn every_page_with_pipelines_is_run() {
    let folder = Path::new(".").join("docs");
    let mut pages: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .filter(|path| fences(&std::fs::read_to_string(path).unwrap()).iter().any(|f| f.pipeline().is_some()))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    pages.sort();
    assert_eq!(
        pages,
        ["presence.md", "print-watch.md", "sql.md", "writing-pipelines.md"],
        "add a test for the new page"
    );
}
