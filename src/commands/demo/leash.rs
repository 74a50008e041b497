//! Processes that end with this one, however it ends.
//!
//! Each is started in a process group of its own, so that Ctrl-C at a terminal reaches the demo alone and what a program
//! starts ends with it. A shell in that group reads a pipe whose other end is held here. When the pipe closes, because
//! it is let go of or because the system closes everything of a process that is gone, that shell kills the group.

use anyhow::{Context, ensure};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// Becomes the program that its arguments are; beside it stays what waits for the pipe's end. `kill 0` is the group. Nothing
/// of it but the shell's own commands is needed, wherever programs are looked for.
const LEASH: &str = r#"exec 3<&0 </dev/null
{ while read -r _ <&3; do :; done; kill -s KILL 0; } >/dev/null 2>&1 &
exec "$@" 3<&-"#;

/// The processes of a demo.
#[derive(Default)]
pub struct Leashes(Mutex<Held>);

#[derive(Default)]
struct Held {
    is_over: bool,
    /// By process id.
    pipes: Vec<(u32, ChildStdin)>,
    servers: Vec<Child>,
}

impl Leashes {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// It cannot be started, fails, or all is over: what it said last.
    pub fn run(&self, command: &Command) -> anyhow::Result<()> {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut leashed = leashed(command);
        leashed.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.start(&mut leashed)?;
        let id = child.id();
        let output = child.wait_with_output();
        self.with(|held| held.pipes.retain(|(other, _)| *other != id));
        let output = output?;
        ensure!(output.status.success(), "{program} failed: {}", last_words(&output));
        Ok(())
    }

    /// Starts a program that serves until all is over.
    ///
    /// # Errors
    /// It cannot be started, or all is over.
    pub fn serve(&self, command: &Command, output: std::fs::File) -> anyhow::Result<()> {
        let mut leashed = leashed(command);
        leashed.stdout(output.try_clone()?).stderr(output);
        let child = self.start(&mut leashed)?;
        self.with(|held| held.servers.push(child));
        Ok(())
    }

    fn start(&self, leashed: &mut Command) -> anyhow::Result<Child> {
        self.with(|held| {
            ensure!(!held.is_over, "the demo is ending");
            let mut child = leashed.spawn().context("processes are started with sh, which cannot be started")?;
            held.pipes.extend(child.stdin.take().map(|pipe| (child.id(), pipe)));
            Ok(child)
        })
    }

    pub fn is_over(&self) -> bool {
        self.with(|held| held.is_over)
    }

    /// Ends all processes; the servers are gone when it returns.
    pub fn end(&self) {
        let (pipes, servers) = self.with(|held| {
            held.is_over = true;
            (std::mem::take(&mut held.pipes), std::mem::take(&mut held.servers))
        });
        drop(pipes);
        for mut server in servers {
            // One that cannot be waited for is gone.
            let _ = server.wait();
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Held) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Leashes {
    fn drop(&mut self) {
        self.end();
    }
}

fn leashed(command: &Command) -> Command {
    let mut leashed = Command::new("/bin/sh");
    leashed.args(["-c", LEASH, "leash"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(name, value),
            None => leashed.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        leashed.current_dir(folder);
    }
    leashed.stdin(Stdio::piped()).process_group(0);
    leashed
}

/// The last line that says something.
fn last_words(output: &Output) -> String {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_fails_has_said_why() {
        let leashes = Leashes::default();
        leashes.run(shell("test \"$WORD\" = yes").env("WORD", "yes")).unwrap();
        let failed = leashes.run(&shell("echo first; echo at last >&2; exit 3")).unwrap_err().to_string();
        assert_eq!(failed, "sh failed: at last");
        assert!(leashes.run(&shell("exit 3")).unwrap_err().to_string().contains('3'));
    }

    #[test]
    fn all_that_a_program_has_started_ends_with_it() {
        let leashes = Arc::new(Leashes::default());
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let ticking = format!("while :; do echo x >> {}/ticks; sleep 0.05; done", folder.path().display());
        leashes.serve(&shell(&format!("({ticking}) & wait")), log).unwrap();
        let waiting = std::thread::spawn({
            let leashes = leashes.clone();
            move || leashes.run(&shell("sleep 1000"))
        });
        let ticks = || std::fs::metadata(folder.path().join("ticks")).map_or(0, |about| about.len());
        let begun = Instant::now();
        while ticks() < 6 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not tick");
            std::thread::sleep(Duration::from_millis(10));
        }
        leashes.end();
        assert!(waiting.join().unwrap().is_err());
        std::thread::sleep(Duration::from_millis(300));
        let last = ticks();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(ticks(), last);
        assert!(leashes.run(&shell("true")).unwrap_err().to_string().contains("ending"));
    }
}
