//! A graph running on one worker: what is fed to it, how far it is, what it puts out.

use crate::delta::Delta;
use crate::ops::{Fed, Shared, StepError};
use crate::output::{Closed, Outbox};
use crate::render::render;
use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use jarvis_plan::Graph;
use std::sync::Arc;
use std::time::Duration;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::core::Input;
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

type Handle<T> = InputHandle<u64, CapacityContainerBuilder<Vec<T>>>;

/// A graph on one worker. Times only go forward, for each input on its own.
pub struct Instance {
    inputs: Vec<Handle<Fed>>,
    clock: Handle<u64>,
    probe: ProbeHandle<u64>,
    shared: Shared,
    outbox: Outbox,
    dataflow: usize,
    stamps: Vec<bool>,
}

impl Instance {
    /// Renders `graph` on `worker`; every worker must render the same graph.
    pub fn new(worker: &mut Worker, graph: &Graph) -> Self {
        let graph = &jarvis_plan::simplify::simplify(graph);
        let dataflow = worker.next_dataflow_index();
        let mut inputs: Vec<Handle<Fed>> = graph.inputs.iter().map(|_| Handle::new()).collect();
        let mut clock = Handle::new();
        let (probe, shared, outbox) = (ProbeHandle::new(), Shared::default(), Outbox::default());
        worker.dataflow::<u64, _, _>(|scope| {
            let streams = inputs.iter_mut().map(|i| scope.input_from(i)).collect();
            let ticks = scope.input_from(&mut clock);
            render(scope, graph, streams, ticks, shared.clone(), outbox.clone(), &probe);
        });
        Instance {
            inputs,
            clock,
            probe,
            shared,
            outbox,
            dataflow,
            stamps: graph.inputs.iter().map(|i| i.stamps_arrival).collect(),
        }
    }
    /// Feeds rows, none of them before the input's time. `place` is that of the first row in its source.
    pub fn feed(&mut self, input: usize, delta: Delta, place: u64) {
        let delta = if self.stamps[input] { stamp(delta) } else { delta };
        self.inputs[input].send(Fed { delta, place });
    }
    /// Promises that nothing before `time` will be fed to this input.
    pub fn advance_input(&mut self, input: usize, time: u64) {
        if *self.inputs[input].time() < time {
            self.inputs[input].advance_to(time);
        }
    }
    /// The time up to which the input is promised.
    pub fn input_time(&self, input: usize) -> u64 {
        *self.inputs[input].time()
    }
    /// The clock strikes `time`: what is due comes due.
    pub fn tick(&mut self, time: u64) {
        if *self.clock.time() <= time {
            self.clock.advance_to(time);
            self.clock.send(time);
            self.clock.advance_to(time + 1);
        }
    }
    /// The clock passes `time` without striking.
    pub fn advance_clock(&mut self, time: u64) {
        if *self.clock.time() < time {
            self.clock.advance_to(time);
        }
    }
    /// One tick of all inputs.
    pub fn close(&mut self, time: u64) {
        self.tick(time);
        for input in 0..self.inputs.len() {
            self.advance_input(input, time + 1);
        }
    }
    /// Whether everything at `time` has been put out, on all workers.
    pub fn is_done(&self, time: u64) -> bool {
        !self.probe.less_equal(&time)
    }
    /// The least time that may still change; `None` when all is over.
    pub fn frontier(&self) -> Option<u64> {
        self.probe.with_frontier(|f| f.first().copied())
    }
    /// When the clock must next strike for this worker's operators; `u64::MAX`: not at all.
    pub fn next_wake(&self) -> u64 {
        self.shared.next_wake()
    }
    pub fn take_outputs(&self) -> Vec<Closed> {
        std::mem::take(&mut self.outbox.borrow_mut())
    }
    pub fn take_errors(&self) -> Vec<StepError> {
        self.shared.take_errors()
    }
    /// (operator, rows held, bytes held) of every operator with state.
    pub fn state_sizes(&self) -> Vec<(String, u64, u64)> {
        self.shared.gauges()
    }
    /// Removes the graph from the worker at once; nothing more comes out of it.
    pub fn remove(self, worker: &mut Worker) {
        let dataflow = self.dataflow;
        drop(self);
        worker.drop_dataflow(dataflow);
    }
    /// Steps until everything at `time` is put out; for callers that have nothing else to do.
    pub fn run_until(&self, worker: &mut Worker, time: u64) {
        while !self.is_done(time) {
            worker.step_or_park(Some(Duration::from_millis(10)));
        }
    }
}

/// Adds the column that says when a row arrived.
fn stamp(delta: Delta) -> Delta {
    let arrived: ArrayRef =
        Arc::new(delta.times.iter().map(|t| Some(*t as i64)).collect::<TimestampMicrosecondArray>());
    let mut fields: Vec<_> = delta.rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(arrow::datatypes::Field::new(jarvis_plan::ARRIVED, arrived.data_type().clone(), false)));
    let mut columns = delta.rows.columns().to_vec();
    columns.push(arrived);
    let rows =
        RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).expect("one time per row");
    Delta::new(rows, delta.times, delta.diffs)
}
