//! The Postgres wire protocol: psql, Grafana, DBeaver and anything else that speaks it ask the live views and the history.
//!
//! A view is the table `PIPELINE.STREAM`; what was kept of it is `lineage.PIPELINE.STREAM`, or, for tools that know no third
//! part of a name, `lineage_PIPELINE.STREAM`. All is read-only. A statement sees one moment: views as of the last tick,
//! history up to it. Passwords go by SCRAM-SHA-256 (RFC 7677); any user name will do.
//!
//! What clients do stays apart from the rest of the run: they have threads of their own, and share a bounded memory. A
//! statement cannot be cancelled; it ends when it has answered, or its client is gone and it answers.

mod guard;
mod live;
mod reading;

use crate::http::Instance;
use anyhow::Context;
use async_trait::async_trait;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_postgres::DfSessionService;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use futures::Sink;
use guard::Guard;
use live::Live;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::{ScramAuth, gen_salted_password};
use pgwire::api::auth::{AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{ClientInfo, PgWireConnectionState, PgWireServerHandlers};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::{TlsAcceptor, process_socket};
use reading::Reading;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

/// The catalog of names that begin with none.
const CATALOG: &str = "jarvis";
/// Where the password comes from, if not from the data folder.
const PASSWORD: &str = "JARVIS_POSTGRES_PASSWORD";
/// Rounds of SCRAM, as Postgres has them.
const ITERATIONS: usize = 4096;
/// Connections at one time; more are closed at once.
const CONNECTIONS: usize = 64;
/// What all statements may hold in memory together, in bytes; what can, goes to the disk then.
const MEMORY: usize = 1 << 30;
/// What a client that was refused has to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where to listen, and how.
#[derive(Clone, Debug)]
pub struct Postgres {
    pub address: SocketAddr,
    /// Files with the certificate chain and its private key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// One that is ready to answer.
pub struct Bound {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    secret: Secret,
    /// Where the password is, for people.
    place: String,
}

impl Postgres {
    /// # Errors
    /// The address is taken, a file cannot be read, or there is no password.
    pub fn bind(&self, data: Option<&Path>) -> anyhow::Result<Bound> {
        let Postgres { address, tls } = self;
        let (password, place) = password(data)?;
        let tls = tls.as_ref().map(|(chain, key)| acceptor(chain, key)).transpose()?;
        if !address.ip().is_loopback() && tls.is_none() {
            tracing::warn!(
                "{address} can be reached from other machines, and what is asked and answered is not encrypted"
            );
        }
        let listener = TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}: choose another address with --postgres=ADDRESS"))?;
        listener.set_nonblocking(true)?;
        let mut salt = vec![0; 16];
        getrandom::fill(&mut salt).context("there is no randomness")?;
        let salted = gen_salted_password(&password, &salt, ITERATIONS);
        Ok(Bound { listener, tls, secret: Secret { salt, salted }, place })
    }
}

impl Bound {
    /// What people must know to connect.
    ///
    /// # Errors
    /// The socket has gone.
    pub fn about(&self) -> std::io::Result<String> {
        let address = self.listener.local_addr()?;
        Ok(format!(
            "Postgres clients: psql -h {} -p {} -U jarvis (password in {})",
            address.ip(),
            address.port(),
            self.place
        ))
    }

    /// Answers until the runtime ends.
    pub async fn serve(self, instance: Instance) {
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "nothing is answered to Postgres clients"),
        };
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        let shared = Shared {
            secret: Arc::new(self.secret),
            must_encrypt: self.tls.is_some(),
            memory: match RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY))).build_arc() {
                Ok(memory) => memory,
                Err(error) => return tracing::error!(%error, "nothing is answered to Postgres clients"),
            },
        };
        loop {
            let (socket, peer) = match listener.accept().await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a Postgres client could not connect");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = free.clone().try_acquire_owned() else {
                tracing::warn!(%peer, "there are {CONNECTIONS} Postgres clients already");
                continue;
            };
            let (tls, shared, instance) = (self.tls.clone(), shared.clone(), instance.clone());
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = answer(socket, tls, &shared, instance).await {
                    tracing::info!(%peer, "a Postgres client is gone: {error:#}");
                }
            });
        }
    }
}

/// What all connections have in common.
#[derive(Clone)]
struct Shared {
    secret: Arc<Secret>,
    must_encrypt: bool,
    memory: Arc<RuntimeEnv>,
}

/// Answers one client until it goes, or is refused.
async fn answer(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    shared: &Shared,
    instance: Instance,
) -> anyhow::Result<()> {
    let connection = Connection::new(shared, instance)?;
    let entry = connection.entry.clone();
    let refused = async {
        entry.refused.notified().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = process_socket(socket, tls, Arc::new(connection)) => Ok(served?),
        () = refused => Ok(()),
    }
}

/// The password, and where it is.
fn password(data: Option<&Path>) -> anyhow::Result<(String, String)> {
    if let Some(given) = std::env::var(PASSWORD).ok().filter(|p| !p.is_empty()) {
        return Ok((given, PASSWORD.to_owned()));
    }
    let data = data.with_context(|| {
        format!("Postgres clients need a password: set {PASSWORD}, or keep a folder with --data, where one is made")
    })?;
    let path = data.join("postgres.password");
    let unusable = || format!("the password {} cannot be used", path.display());
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok((text.trim().to_owned(), path.display().to_string())),
        Ok(_) => anyhow::bail!("{} is empty", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(unusable),
    }
    let mut secret = [0; 18];
    getrandom::fill(&mut secret).context("there is no randomness")?;
    let made = BASE64_URL_SAFE_NO_PAD.encode(secret);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    fs::create_dir_all(data).with_context(unusable)?;
    let written = options.open(&path).and_then(|mut file| writeln!(file, "{made}"));
    written.with_context(unusable)?;
    Ok((made, path.display().to_string()))
}

fn acceptor(chain: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let unreadable = |path: &Path| format!("{} cannot be read as PEM", path.display());
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.with_context(|| unreadable(chain))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(certificates, key).with_context(|| unreadable(chain))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a password is checked against.
#[derive(Clone)]
struct Secret {
    salt: Vec<u8>,
    salted: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[async_trait]
impl AuthSource for Secret {
    async fn get_password(&self, _: &LoginInfo) -> PgWireResult<Password> {
        Ok(Password::new(Some(self.salt.clone()), self.salted.clone()))
    }
}

/// Who comes in: until then nothing is answered, whatever the protocol's state.
#[derive(Debug, Default)]
struct Entry {
    is_admitted: AtomicBool,
    refused: Notify,
}

impl Entry {
    /// # Errors
    /// The client has not shown that it knows the password.
    fn check(&self) -> PgWireResult<()> {
        if self.is_admitted.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(guard::refused("28000", "there was no password".to_owned()))
    }
}

/// Lets in who knows the password, over an encrypted connection if there can be one.
struct Door {
    scram: SASLAuthStartupHandler<DefaultServerParameterProvider>,
    must_encrypt: bool,
    entry: Arc<Entry>,
}

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let entered = if self.must_encrypt && !client.is_secure() {
            // invalid_authorization_specification
            let why = "the connection must be encrypted: sslmode=require".to_owned();
            Err(PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), "28000".to_owned(), why))))
        } else {
            self.scram.on_startup(client, message).await
        };
        match &entered {
            Err(_) => self.entry.refused.notify_one(),
            Ok(()) if matches!(client.state(), PgWireConnectionState::ReadyForQuery) => {
                self.entry.is_admitted.store(true, Ordering::SeqCst);
            }
            Ok(()) => {}
        }
        entered
    }
}

/// One client, with a session of its own.
struct Connection {
    door: Arc<Door>,
    entry: Arc<Entry>,
    session: Arc<Reading>,
}

impl Connection {
    fn new(shared: &Shared, instance: Instance) -> anyhow::Result<Self> {
        let history = instance.data().map(jarvis_lineage::lasting).transpose()?;
        let live = Arc::new(Live::new(history.clone()));
        let session = Arc::new(session(&live, history.as_ref(), shared.memory.clone())?);
        let entry = Arc::<Entry>::default();
        let hooks: Vec<Arc<dyn datafusion_postgres::QueryHook>> = vec![
            Arc::new(Guard { live, history, instance, entry: entry.clone() }),
            Arc::new(CursorStatementHook),
            Arc::new(SetShowHook),
            Arc::new(TransactionStatementHook),
        ];
        let mut scram = ScramAuth::new(shared.secret.clone());
        scram.set_iterations(ITERATIONS);
        let parameters = Arc::new(DefaultServerParameterProvider::default());
        let scram = SASLAuthStartupHandler::new(parameters).with_scram(scram);
        let session = Arc::new(DfSessionService::new_with_hooks(session, hooks));
        Ok(Connection {
            door: Arc::new(Door { scram, must_encrypt: shared.must_encrypt, entry: entry.clone() }),
            session: Arc::new(Reading { session, entry: entry.clone() }),
            entry,
        })
    }
}

/// A session over the views and the history.
fn session(
    live: &Arc<Live>,
    history: Option<&jarvis_lineage::Lineage>,
    memory: Arc<RuntimeEnv>,
) -> anyhow::Result<SessionContext> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, "system")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let context = jarvis_lineage::session_in(config, memory);
    context.register_catalog(CATALOG, live.clone());
    setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
    if let Some(history) = history {
        context.register_catalog("lineage", history.catalog());
    }
    Ok(context)
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.session.clone()
    }
    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.session.clone()
    }
    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.door.clone()
    }
}
