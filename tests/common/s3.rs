//! An S3 server over a folder, which can be made to refuse and to hang.

use crate::common::{Folder, free_port};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How the server behaves.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well = 0,
    /// Connections are closed at once.
    Refuses = 1,
    /// Requests are never answered.
    Hangs = 2,
}

pub struct S3 {
    port: u16,
    mood: Arc<AtomicU8>,
    _runtime: Runtime,
}

impl S3 {
    /// A server with one bucket, `history`.
    pub fn start(folder: &Folder) -> Self {
        std::fs::create_dir_all(folder.path("s3/history")).unwrap();
        let port = free_port();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path("s3")).unwrap());
        service.set_auth(SimpleAuth::from_single("somebody", "secret"));
        let service = service.build();
        let mood = Arc::new(AtomicU8::new(0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", port))).unwrap();
        let now = mood.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                match now.load(Ordering::SeqCst) {
                    0 => {
                        let service = service.clone();
                        // A client that has gone is none of the server's business.
                        tokio::spawn(async move {
                            let _ = Builder::new(TokioExecutor::new())
                                .serve_connection(TokioIo::new(socket), service)
                                .await;
                        });
                    }
                    1 => drop(socket),
                    _ => {
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_secs(3600)).await;
                            drop(socket);
                        });
                    }
                }
            }
        });
        S3 { port, mood, _runtime: runtime }
    }

    pub fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// What a client must know.
    pub fn tell(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "somebody")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
    }
}
