//! Being asked to stop.

use tokio::sync::mpsc;

/// A message for each time that the process is asked to stop: Ctrl-C, or SIGTERM where there is such a thing.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// The system does not let signals be listened to.
#[cfg(unix)]
pub fn stops() -> std::io::Result<mpsc::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// A message for each time that the process is asked to stop: Ctrl-C.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// None on this system.
#[cfg(not(unix))]
pub fn stops() -> std::io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).await.is_ok() {} });
    Ok(receiver)
}
