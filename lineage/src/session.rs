//! DataFusion, set up so that it loses no rows.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{JoinType, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// A session with what DataFusion 55.2 gets wrong turned off:
/// * its physical filter pushdown moves conditions into the wrong side of joins that keep rows without a partner
///   (a relative of apache/datafusion#24002), so plans with such a join are left as they are;
/// * scalar subqueries that are computed beside the plan lose rows of the same joins.
pub fn session(config: SessionConfig) -> SessionContext {
    session_in(config, Arc::default())
}

/// As [`session`], with the memory and the disk of others.
pub fn session_in(mut config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    config.options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let careful = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
        if rule.name().starts_with("FilterPushdown") { Arc::new(ForInnerJoins(rule)) } else { rule }
    };
    let rules = PhysicalOptimizer::new().rules.into_iter().map(careful).collect();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(rules);
    SessionContext::new_with_state(state.build())
}

/// A rule that is right only where every join is an inner one.
#[derive(Debug)]
struct ForInnerJoins(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for ForInnerJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if plan.exists(|step| Ok(join_type(step.as_ref()).is_some_and(|t| t != JoinType::Inner)))? {
            return Ok(plan);
        }
        self.0.optimize(plan, config)
    }
    fn name(&self) -> &str {
        self.0.name()
    }
    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn join_type(step: &dyn ExecutionPlan) -> Option<JoinType> {
    let hash = || step.downcast_ref::<HashJoinExec>().map(|j| *j.join_type());
    let loops = || step.downcast_ref::<NestedLoopJoinExec>().map(|j| *j.join_type());
    let merge = || step.downcast_ref::<SortMergeJoinExec>().map(|j| j.join_type());
    let symmetric = || step.downcast_ref::<SymmetricHashJoinExec>().map(|j| *j.join_type());
    hash().or_else(loops).or_else(merge).or_else(symmetric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::catalog::MemTable;

    #[tokio::test]
    async fn a_row_without_a_partner_is_not_lost() {
        let context = session(SessionConfig::new());
        let column = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
        let rows = RecordBatch::try_from_iter([("id", column(3)), ("x", column(0))]).unwrap();
        context.register_table("a", Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap())).unwrap();
        for sql in [
            "SELECT p.id FROM a p RIGHT JOIN a q ON p.x = q.id WHERE p.id IS NULL AND q.x = 0",
            "SELECT q.id FROM a p FULL JOIN a q ON p.x = q.id WHERE p.id IS NULL AND q.x = 0",
            "SELECT p.id FROM a p WHERE p.x = 0 AND NOT EXISTS (SELECT 1 FROM a q WHERE q.id = p.x)",
        ] {
            assert_eq!(context.sql(sql).await.unwrap().count().await.unwrap(), 1, "{sql}");
        }
    }
}
