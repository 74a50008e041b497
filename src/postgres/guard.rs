//! Before a statement runs: it may only read, and what it reads is of now.

use super::live::Live;
use crate::http::Instance;
use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use jarvis_lineage::Lineage;
use jarvis_runtime::Control;
use pgwire::api::ClientInfo;
use pgwire::api::results::Response;
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use std::sync::Arc;

/// The hook that every statement passes first.
pub struct Guard {
    pub live: Arc<Live>,
    pub history: Option<Lineage>,
    pub instance: Instance,
}

impl Guard {
    async fn renew(&self) -> PgWireResult<()> {
        let views = self.instance.ask(|reply| Control::Views { reply }).await;
        // cannot_connect_now
        self.live.renew(views.map_err(|refusal| refused("57P03", refusal.to_string()))?);
        self.history.iter().for_each(Lineage::renew);
        Ok(())
    }

    /// Whether a statement may run; what it reads is then there.
    async fn admit(&self, statement: &Statement, context: &SessionContext) -> PgWireResult<()> {
        match statement {
            Statement::Query(_) | Statement::Explain { .. } => {}
            // Others answer these: they change nothing but the session.
            Statement::ShowVariable { .. }
            | Statement::ShowStatus { .. }
            | Statement::Set(_)
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Declare { .. }
            | Statement::Fetch { .. }
            | Statement::Close { .. }
            | Statement::Deallocate { .. }
            | Statement::Discard { .. } => return Ok(()),
            // read_only_sql_transaction
            other => {
                let word = other.to_string();
                let word = word.split_whitespace().next().unwrap_or_default().to_owned();
                return Err(refused("25006", format!("{word} is refused: views and history are only read here")));
            }
        }
        self.renew().await?;
        // A query may still write, in a WITH or an INTO. One that cannot be planned gets its message later.
        let parsed = Parsed::Statement(Box::new(statement.clone()));
        let Ok(plan) = context.state().statement_to_plan(parsed).await else { return Ok(()) };
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|error| refused("25006", error.strip_backtrace()))
    }
}

fn refused(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

#[async_trait]
impl QueryHook for Guard {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        _: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        self.admit(statement, context).await.err().map(Err)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        self.admit(statement, context).await.err().map(Err)
    }

    async fn handle_extended_query(
        &self,
        _: &Statement,
        _: &LogicalPlan,
        _: &ParamValues,
        _: &SessionContext,
        _: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        // It was admitted when it was prepared; since then time has gone on.
        self.renew().await.err().map(Err)
    }
}
