//! What a process used, as the operating system counted it.
//!
//! This file holds two calls of the C library. They are `unsafe` because they write through pointers; both get a
//! pointer to a local that lives across the call and is zeroed, which is a valid value of each type.

use std::io;
use std::process::Child;
use std::time::Duration;

/// What a process used from start to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Processor time, user and system, of all its threads.
    pub cpu: Duration,
    /// The most memory it held at once, in MB (10^6 bytes).
    pub peak_mb: f64,
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
}

/// Waits for a child to end. The child must not have been waited for before.
#[cfg(unix)]
pub fn wait(child: &Child) -> io::Result<Usage> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: see the head of the file.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    loop {
        // SAFETY: see the head of the file.
        if unsafe { libc::wait4(pid, &mut status, 0, &mut usage) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let status = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    Ok(Usage { cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_mb: megabytes(usage.ru_maxrss), status })
}

/// The most memory this process has held at once so far, in MB (10^6 bytes).
#[cfg(unix)]
pub fn peak_mb() -> f64 {
    // Linux hands the high-water mark of the parent down through exec, but not this line.
    #[cfg(target_os = "linux")]
    if let Some(kib) = high_water_kib() {
        return kib * 1024.0 / 1e6;
    }
    // SAFETY: see the head of the file.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    // SAFETY: see the head of the file.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    megabytes(usage.ru_maxrss)
}

#[cfg(target_os = "linux")]
fn high_water_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(unix)]
fn time(value: libc::timeval) -> Duration {
    // Both fields are never negative and the second is below a million.
    Duration::new(value.tv_sec.unsigned_abs(), u32::try_from(value.tv_usec).unwrap_or(0) * 1000)
}

/// `ru_maxrss` counts KiB, on macOS bytes.
#[cfg(unix)]
fn megabytes(maxrss: libc::c_long) -> f64 {
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };
    maxrss as f64 * unit / 1e6
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_measured_and_its_status_known() {
        #[allow(clippy::zombie_processes, reason = "the code under test waits for it")]
        let child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let usage = wait(&child).unwrap();
        assert_eq!(usage.status, Some(3));
        assert!(usage.peak_mb > 0.1 && usage.peak_mb < 1000.0, "{usage:?}");
        assert!(usage.cpu < Duration::from_secs(5));
    }

    #[test]
    fn this_process_has_held_some_memory() {
        assert!(peak_mb() > 0.5);
    }
}
