//! W2: jobs joined with the spool of their printer; count and grams by material and status.

use crate::clock::{Clock, Diff, Tick};
use crate::drive::{Feed, Report, Settings, Timed, drive, first_at};
use crate::mapped::Mapped;
use crate::operators::{Results, Sums, Upsert, upsert, write_changes};
use crate::text::{Text8, Text16};
use anyhow::Result;
use differential_dataflow::operators::CountTotal;
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::{AsCollection, VecCollection};
use serde::Deserialize;
use timely::container::PushInto;
use timely::dataflow::operators::Input;
use timely::dataflow::{ProbeHandle, StreamVec};
use timely::worker::Worker;

#[derive(Deserialize)]
struct Job {
    job_id: u64,
    printer: Option<Text8>,
    status: Option<Text16>,
    #[serde(default, rename = "_deleted")]
    deleted: bool,
    /// µs since the epoch.
    at: u64,
}

#[derive(Deserialize)]
struct Spool {
    printer: Text8,
    material: Option<Text8>,
    grams: Option<i64>,
    #[serde(default, rename = "_deleted")]
    deleted: bool,
    /// µs since the epoch.
    at: u64,
}

impl Timed for Job {
    fn at(&self) -> u64 {
        self.at
    }
}

impl Timed for Spool {
    fn at(&self) -> u64 {
        self.at
    }
}

type Group = (Text8, Text16);
/// Jobs, grams.
type Totals = (isize, isize);

pub fn work(worker: &mut Worker, settings: &Settings) -> Result<Report> {
    let (index, peers) = (worker.index(), worker.peers());
    let jobs = Mapped::open(&settings.data.join("jobs.jsonl"))?;
    let spools = Mapped::open(&settings.data.join("spools.jsonl"))?;
    let first = first_at::<Job>(&jobs)?.into_iter().chain(first_at::<Spool>(&spools)?).min();
    let clock = Clock::new(settings.tick, first.unwrap_or(0));
    let results = Results::create(&settings.out, index)?;
    let probe = ProbeHandle::new();

    let (job_rows, spool_rows) = worker.dataflow::<Tick, _, _>(|scope| {
        let (job_rows, jobs) = scope.new_input();
        let (spool_rows, spools) = scope.new_input();
        write_changes(by_material(jobs, spools), clock, &results, &probe, |line, ((material, status), totals)| {
            line.text("material", material.to_string())
                .text("status", status.to_string())
                .number("n", totals.0)
                .number("grams", totals.1);
        });
        (job_rows, spool_rows)
    });

    let mut jobs = Feed::new(jobs.lines(index, peers), clock, job_rows, |job: Job, _| {
        let value = if job.deleted { None } else { job.printer.zip(job.status) };
        Some(Upsert { key: job.job_id, order: job.at, value })
    })?;
    let mut spools = Feed::new(spools.lines(index, peers), clock, spool_rows, |spool: Spool, _| {
        let value = if spool.deleted { None } else { spool.material.zip(spool.grams) };
        Some(Upsert { key: spool.printer, order: spool.at, value })
    })?;
    let report = drive(worker, &mut [&mut jobs, &mut spools], &probe)?;
    results.finish()?;
    Ok(report)
}

fn by_material<'s>(
    jobs: StreamVec<'s, Tick, Upsert<u64, (Text8, Text16)>>,
    spools: StreamVec<'s, Tick, Upsert<Text8, (Text8, i64)>>,
) -> VecCollection<'s, Tick, (Group, Totals), Diff> {
    let jobs = upsert(jobs, |_, printer_and_status| printer_and_status).arrange_by_key();
    let spools = upsert(spools, |printer, material_and_grams| (*printer, material_and_grams)).arrange_by_key();
    // A change of a spool matches all jobs of its printer, but few groups.
    let totals = join_traces::<_, _, _, _, Sums<Group, Totals>>(
        jobs,
        spools,
        "JobsOnSpools",
        |_, status, (material, grams), tick, left, right, sums| {
            let jobs = left * right;
            sums.push_into(((*material, *status), tick, (jobs, *grams as isize * jobs)));
        },
    );
    totals.as_collection().count_total()
}
