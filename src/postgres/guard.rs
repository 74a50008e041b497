//! Before a statement runs: it may only read, and what it reads is of now.

use super::Entry;
use super::live::{HISTORY, Live};
use crate::http::Instance;
use async_trait::async_trait;
use datafusion::common::{DFSchema, ParamValues, TableReference};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::QueryHook;
use datafusion_postgres::arrow_pg::encode_dataframe;
use datafusion_postgres::hooks::HookClient;
use jarvis_lineage::Lineage;
use jarvis_runtime::Control;
use pgwire::api::ClientInfo;
use pgwire::api::portal::Format;
use pgwire::api::results::{Response, Tag};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::response::TransactionStatus;
use pgwire::types::format::FormatOptions;
use std::sync::Arc;

/// The hook that every statement passes first.
pub struct Guard {
    pub live: Arc<Live>,
    pub history: Option<Lineage>,
    pub instance: Instance,
    pub entry: Arc<Entry>,
}

/// What becomes of a statement.
enum Admitted {
    /// It is this plan, which only reads.
    Reads(Box<LogicalPlan>),
    /// Others answer it: it changes nothing but the session.
    Session,
    /// There is nothing to do but to say so.
    Done(&'static str),
}

impl Guard {
    /// What a statement may read is as of now: views if it names any, and the history.
    async fn renew(&self, statement: &Statement, context: &SessionContext) -> PgWireResult<()> {
        let tables = context.state().resolve_table_references(&Parsed::Statement(Box::new(statement.clone())));
        let tables = tables.unwrap_or_default();
        let is_history = |table: &TableReference| {
            table.catalog() == Some("lineage") || table.schema().is_some_and(|schema| schema.starts_with(HISTORY))
        };
        if !tables.iter().all(is_history) {
            let views = self.instance.ask(|reply| Control::Views { reply }).await;
            // cannot_connect_now
            self.live.renew(views.map_err(|refusal| refused("57P03", refusal.to_string()))?);
        }
        if let Some(history) = self.history.clone().filter(|_| !tables.is_empty()) {
            history.renew();
            // The log is read here, where it may take its time.
            let looked = tokio::task::spawn_blocking(move || history.look()).await;
            looked.map_err(|e| refused("XX000", e.to_string()))?.map_err(|e| refused("58030", e.strip_backtrace()))?;
        }
        Ok(())
    }

    /// Whether a statement may run; what it reads is then there.
    async fn admit(&self, statement: &Statement, context: &SessionContext) -> PgWireResult<Admitted> {
        self.entry.check()?;
        match statement {
            Statement::Query(_) => Ok(Admitted::Reads(Box::new(self.plan(statement, context).await?))),
            Statement::Explain { statement: inner, .. } if matches!(**inner, Statement::Query(_)) => {
                Ok(Admitted::Reads(Box::new(self.plan(statement, context).await?)))
            }
            Statement::Declare { stmts } => {
                for query in stmts.iter().filter_map(|declared| declared.for_query.clone()) {
                    self.plan(&Statement::Query(query), context).await?;
                }
                Ok(Admitted::Session)
            }
            // The configuration of the engine underneath is none of a client's business.
            Statement::Set(set) if !set.to_string().to_lowercase().contains("datafusion.") => Ok(Admitted::Session),
            Statement::ShowVariable { .. }
            | Statement::ShowStatus { .. }
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Fetch { .. }
            | Statement::Close { .. } => Ok(Admitted::Session),
            Statement::Deallocate { .. } => Ok(Admitted::Done("DEALLOCATE")),
            Statement::Discard { .. } => Ok(Admitted::Done("DISCARD")),
            other => {
                let word = other.to_string();
                let word = word.split_whitespace().next().unwrap_or_default().to_owned();
                // read_only_sql_transaction
                Err(refused("25006", format!("{word} is refused: views and history are only read here")))
            }
        }
    }

    /// The plan of a statement that only reads: what was looked at is what runs.
    async fn plan(&self, statement: &Statement, context: &SessionContext) -> PgWireResult<LogicalPlan> {
        self.renew(statement, context).await?;
        let parsed = Parsed::Statement(Box::new(statement.clone()));
        let plan = context.state().statement_to_plan(parsed).await;
        let plan = plan.map_err(|error| PgWireError::ApiError(Box::new(error)))?;
        // A query may still write, in an INTO.
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|error| refused("25006", error.strip_backtrace()))?;
        Ok(plan)
    }
}

pub(super) fn refused(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

#[async_trait]
impl QueryHook for Guard {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        match self.admit(statement, context).await {
            Err(error) => Some(Err(error)),
            Ok(Admitted::Session) => None,
            Ok(Admitted::Done(what)) => Some(Ok(Response::Execution(Tag::new(what)))),
            // In a transaction that has failed, others say so.
            Ok(Admitted::Reads(_)) if client.transaction_status() == TransactionStatus::Error => None,
            Ok(Admitted::Reads(plan)) => {
                let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
                let rows = DataFrame::new(context.state(), *plan);
                let answer = encode_dataframe(rows, &Format::UnifiedText, Some(options)).await;
                Some(answer.map(Response::Query))
            }
        }
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        match self.admit(statement, context).await {
            Err(error) => Some(Err(error)),
            Ok(Admitted::Session) => None,
            Ok(Admitted::Done(_)) => {
                let schema = Arc::new(DFSchema::empty());
                Some(Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })))
            }
            Ok(Admitted::Reads(plan)) => Some(Ok(*plan)),
        }
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _: &LogicalPlan,
        _: &ParamValues,
        context: &SessionContext,
        _: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        match statement {
            Statement::Deallocate { .. } => Some(Ok(Response::Execution(Tag::new("DEALLOCATE")))),
            Statement::Discard { .. } => Some(Ok(Response::Execution(Tag::new("DISCARD")))),
            // It was admitted when it was prepared; since then time has gone on.
            Statement::Query(_) | Statement::Explain { .. } => self.renew(statement, context).await.err().map(Err),
            _ => None,
        }
    }
}
