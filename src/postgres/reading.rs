//! Before a statement is parsed: whether that comes to an end, and whether there is stack enough for what comes of it.

use super::Entry;
use super::guard::refused;
use async_trait::async_trait;
use datafusion_postgres::DfSessionService;
use futures::Sink;
use jarvis_plan::dialect::readable;
use pgwire::api::portal::Portal;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::Response;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::Parse;
use std::sync::Arc;

/// The session of a client, given only what can be read, of who was let in.
pub struct Reading {
    pub session: Arc<DfSessionService>,
    pub entry: Arc<Entry>,
}

impl Reading {
    fn look_at(&self, sql: &str) -> PgWireResult<()> {
        self.entry.check()?;
        // statement_too_complex
        readable(sql).map_err(|error| refused("54001", crate::views::reason(&error)))
    }
}

#[async_trait]
impl SimpleQueryHandler for Reading {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.look_at(query)?;
        SimpleQueryHandler::do_query(&*self.session, client, query).await
    }
}

#[async_trait]
impl ExtendedQueryHandler for Reading {
    type Statement = <DfSessionService as ExtendedQueryHandler>::Statement;
    type QueryParser = <DfSessionService as ExtendedQueryHandler>::QueryParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.session.query_parser()
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.look_at(&message.query)?;
        self.session.on_parse(client, message).await
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        ExtendedQueryHandler::do_query(&*self.session, client, portal, max_rows).await
    }
}
