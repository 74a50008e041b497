#!/usr/bin/env python3
"""A day of history asked by time and by key: `jarvis sql` next to DuckDB on the same Parquet files.

    python3 -m venv venv && venv/bin/pip install duckdb==2.0.0
    target/release/history 50000000 /tmp/day
    target/release/jarvis lineage compact --data /tmp/day
    venv/bin/python benches/history.py target/release/jarvis /tmp/day

Both answer each question RUNS times in turns; a figure is the median. The time of jarvis is that of the whole process; of
DuckDB that of the query alone, in one process with as many threads as there are cores. The answers must be equal.
"""

import csv
import io
import statistics
import subprocess
import sys
import time

import duckdb

RUNS = 7
QUESTIONS = {
    "10 minutes": "SELECT count(*) AS n, max(actual) AS hottest FROM {t} "
    "WHERE _time >= TIMESTAMP '2026-11-01 10:00:00' AND _time < TIMESTAMP '2026-11-01 10:10:00'",
    "one job": "SELECT count(*) AS n, max(actual) AS hottest FROM {t} WHERE job = 54321",
    "one printer": "SELECT tool, count(*) AS n, max(actual) AS hottest FROM {t} WHERE printer = 'printer017' "
    "GROUP BY tool ORDER BY tool",
    "one printer, one hour": "SELECT count(*) AS n, max(actual) AS hottest FROM {t} WHERE printer = 'printer017' "
    "AND _time >= TIMESTAMP '2026-11-01 10:00:00' AND _time < TIMESTAMP '2026-11-01 11:00:00'",
    "all by printer": "SELECT printer, count(*) AS n, max(actual) AS hottest FROM {t} GROUP BY printer ORDER BY printer",
}


def main():
    jarvis, data = sys.argv[1:3]
    duck = duckdb.connect()
    parts = f"read_parquet('{data}/streams/shop/reading/*.parquet')"
    print("| question | jarvis ms | DuckDB ms | ratio |\n|---|---|---|---|")
    for name, sql in QUESTIONS.items():
        ours, theirs = [], []
        for _ in range(RUNS):
            begun = time.perf_counter()
            question = sql.format(t="lineage.shop.reading")
            told = subprocess.run(
                [jarvis, "sql", question, "--data", data, "--format", "csv", "--at", "127.0.0.1:1"],
                capture_output=True, text=True, check=True,
            ).stdout
            ours.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            rows = duck.execute(sql.format(t=parts)).fetchall()
            theirs.append(time.perf_counter() - begun)
        answer = list(csv.reader(io.StringIO(told)))[1:]
        plain = lambda value: f"{float(value):.6f}" if str(value).replace(".", "").isdigit() else str(value)
        same = [[plain(v) for v in row] for row in answer] == [[plain(v) for v in row] for row in rows]
        assert same, (name, answer[:3], rows[:3])
        own, their = (1000 * statistics.median(times) for times in (ours, theirs))
        print(f"| {name} | {own:.0f} | {their:.0f} | {own / their:.2f} |")


if __name__ == "__main__":
    main()
