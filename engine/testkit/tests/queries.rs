//! One query per feature of the SQL that is kept up to date, each against the judge over a few fixed histories.

use jarvis_testkit::compare::check;
use jarvis_testkit::history::arbitrary;
use jarvis_testkit::query::Table;

const TABLES: [Table; 3] = [
    Table {
        name: "a",
        columns: &[("id", "int64"), ("g", "utf8?"), ("x", "int64?"), ("f", "float64?"), ("at", "timestamp")],
        key: &[0],
        append_only: false,
        extra: "time: at\nlateness: 2s",
    },
    Table {
        name: "b",
        columns: &[("k", "int64?"), ("g", "utf8?"), ("y", "int64?"), ("h", "float64?"), ("ts", "timestamp?")],
        key: &[],
        append_only: false,
        extra: "",
    },
    Table {
        name: "c",
        columns: &[("g", "utf8?"), ("z", "float64?"), ("ok", "bool?"), ("n", "int64")],
        key: &[],
        append_only: true,
        extra: "",
    },
];

fn holds(sql: &str) {
    for (seed, steps, ops) in [(1, 6, 8), (2, 14, 2), (3, 5, 20)] {
        if let Err(why) = check(&TABLES, sql, &arbitrary(seed, steps, ops)) {
            panic!("seed {seed}: {sql}\n{why}");
        }
    }
}

macro_rules! queries {
    ($($name:ident: $sql:expr;)*) => { $(#[test] fn $name() { holds($sql); })* };
}

queries! {
    all_columns: "SELECT * FROM b";
    keyed_table: "SELECT * FROM a";
    filter: "SELECT g, y FROM b WHERE y > 1";
    filter_on_null: "SELECT g, y FROM b WHERE g IS NULL OR y IS NOT NULL";
    projection: "SELECT x + 1 AS x1, f * 2 AS f2, upper(g) AS u FROM a";
    case_and_cast: "SELECT CASE WHEN x > 1 THEN 'high' WHEN x IS NULL THEN 'none' ELSE CAST(x AS text) END AS c, CAST(x AS double) / 2 AS half FROM a";
    coalesce_and_concat: "SELECT coalesce(g, '?') || '-' || cast(coalesce(y, 0) AS text) AS s FROM b";
    in_list: "SELECT k FROM b WHERE g IN ('a', 'b')";
    between: "SELECT k FROM b WHERE y BETWEEN 0 AND 2";
    like: "SELECT g FROM b WHERE g LIKE 'b%'";
    inner_join: "SELECT a.id, b.y FROM a JOIN b ON a.g = b.g";
    join_using: "SELECT g, x, z FROM a JOIN c USING (g)";
    join_on_two_keys: "SELECT a.id, b.h FROM a JOIN b ON a.g = b.g AND a.x = b.y";
    join_on_an_expression: "SELECT a.id, b.k FROM a JOIN b ON a.x + 1 = b.y";
    join_with_residual: "SELECT a.id, b.k FROM a JOIN b ON a.g = b.g AND a.x < b.y";
    self_join: "SELECT p.k AS pk, q.k AS qk FROM b p JOIN b q ON p.g = q.g AND p.y < q.y";
    cross_join: "SELECT a.id, c.n FROM a CROSS JOIN c";
    inequality_join: "SELECT a.id, c.n FROM a JOIN c ON a.x < c.n";
    is_not_distinct_from_join: "SELECT a.id, b.k FROM a JOIN b ON a.g IS NOT DISTINCT FROM b.g";
    left_join: "SELECT a.id, b.y FROM a LEFT JOIN b ON a.g = b.g";
    left_join_with_residual: "SELECT a.id, b.y FROM a LEFT JOIN b ON a.g = b.g AND b.y > a.x";
    left_join_one_sided_condition: "SELECT a.id, b.y FROM a LEFT JOIN b ON a.g = b.g AND a.x > 1";
    right_join: "SELECT a.id, b.y FROM a RIGHT JOIN b ON a.g = b.g";
    right_join_with_residual: "SELECT a.id, b.y FROM a RIGHT JOIN b ON a.g = b.g AND b.y > a.x";
    full_join: "SELECT a.id, b.y FROM a FULL JOIN b ON a.g = b.g";
    full_join_with_residual: "SELECT a.id, b.y, b.k FROM a FULL JOIN b ON a.g = b.g AND b.y > a.x";
    three_way_join: "SELECT a.id, b.y, c.z FROM a JOIN b ON a.g = b.g JOIN c ON b.g = c.g";
    semi_join_in: "SELECT id FROM a WHERE x IN (SELECT y FROM b)";
    semi_join_exists: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.g = a.g)";
    semi_join_exists_residual: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.g = a.g AND b.y > a.x)";
    anti_join_not_exists: "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.g = a.g)";
    anti_join_residual: "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.g = a.g AND b.y > a.x)";
    not_in: "SELECT id FROM a WHERE id NOT IN (SELECT n FROM c)";
    left_semi_join: "SELECT a.id FROM a LEFT SEMI JOIN b ON a.g = b.g";
    left_anti_join: "SELECT a.id FROM a LEFT ANTI JOIN b ON a.g = b.g";
    exists_or: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.g = a.g) OR x > 2";
    in_or: "SELECT id FROM a WHERE x IN (SELECT y FROM b WHERE y IS NOT NULL) OR f > 1";
    uncorrelated_exists: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE y > 3)";
    uncorrelated_not_exists: "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE y > 3)";
    count_star: "SELECT g, count(*) AS n FROM b GROUP BY g";
    count_column: "SELECT g, count(y) AS n FROM b GROUP BY g";
    count_all: "SELECT count(*) AS n FROM b";
    sum_all: "SELECT sum(y) AS s FROM b";
    aggregates_over_nothing: "SELECT count(*) AS n, sum(y) AS s, min(g) AS m, avg(h) AS a FROM b WHERE y > 100";
    sum_and_avg: "SELECT g, sum(y) AS s, avg(y) AS a, sum(h) AS sh, avg(h) AS ah FROM b GROUP BY g";
    min_and_max: "SELECT g, min(y) AS lo, max(y) AS hi, min(h) AS lh, max(g) AS mg, max(ts) AS last FROM b GROUP BY g";
    min_and_max_append_only: "SELECT g, min(z) AS lo, max(z) AS hi, max(n) AS hn FROM c GROUP BY g";
    min_and_max_keyed: "SELECT g, min(x) AS lo, max(x) AS hi, max(at) AS last FROM a GROUP BY g";
    count_distinct: "SELECT g, count(DISTINCT y) AS n FROM b GROUP BY g";
    count_distinct_and_count: "SELECT g, count(DISTINCT y) AS n, count(*) AS m, sum(y) AS s FROM b GROUP BY g";
    sum_distinct: "SELECT g, sum(DISTINCT y) AS n FROM b GROUP BY g";
    bool_and_or: "SELECT g, bool_and(ok) AS every, bool_or(ok) AS some FROM c GROUP BY g";
    bool_of_condition: "SELECT g, bool_and(y > 0) AS every, bool_or(y > 2) AS some FROM b GROUP BY g";
    array_agg: "SELECT g, array_agg(y) AS ys FROM b GROUP BY g";
    array_agg_ordered: "SELECT g, array_agg(y ORDER BY y DESC) AS ys FROM b GROUP BY g";
    array_agg_distinct: "SELECT g, array_agg(DISTINCT y) AS ys FROM b GROUP BY g";
    median: "SELECT g, median(h) AS m, median(y) AS my FROM b GROUP BY g";
    first_and_last_value: "SELECT g, first_value(y ORDER BY h, y) AS first, last_value(y ORDER BY h, y) AS last FROM b GROUP BY g";
    aggregate_filter: "SELECT g, count(*) FILTER (WHERE y > 1) AS n, sum(h) FILTER (WHERE y < 2) AS s FROM b GROUP BY g";
    group_by_expression: "SELECT y % 2 AS parity, count(*) AS n FROM b GROUP BY y % 2";
    group_by_two: "SELECT g, y, count(*) AS n, max(h) AS m FROM b GROUP BY g, y";
    having: "SELECT g, count(*) AS n FROM b GROUP BY g HAVING count(*) > 2 AND sum(y) > 1";
    aggregate_of_expression: "SELECT g, sum(y * 2 + 1) AS s, max(abs(y)) AS m FROM b GROUP BY g";
    aggregate_of_aggregate: "SELECT n, count(*) AS groups FROM (SELECT g, count(*) AS n FROM b GROUP BY g) t GROUP BY n";
    aggregate_of_join: "SELECT a.g, count(*) AS n, sum(b.h) AS s FROM a JOIN b ON a.g = b.g GROUP BY a.g";
    aggregate_of_left_join: "SELECT a.id, count(b.k) AS n, sum(b.y) AS s FROM a LEFT JOIN b ON a.g = b.g GROUP BY a.id";
    join_of_aggregates: "SELECT p.g, p.n, q.m FROM (SELECT g, count(*) AS n FROM b GROUP BY g) p JOIN (SELECT g, max(x) AS m FROM a GROUP BY g) q ON p.g = q.g";
    distinct: "SELECT DISTINCT g FROM b";
    distinct_two: "SELECT DISTINCT g, y FROM b";
    union_all: "SELECT g, x FROM a UNION ALL SELECT g, y FROM b";
    union_distinct: "SELECT g FROM a UNION SELECT g FROM b";
    union_of_types: "SELECT x AS v FROM a UNION ALL SELECT h FROM b";
    except_distinct: "SELECT g FROM a EXCEPT SELECT g FROM b";
    intersect: "SELECT g FROM a INTERSECT SELECT g FROM b";
    top_k: "SELECT id, x FROM a ORDER BY x DESC NULLS LAST, id LIMIT 3";
    top_k_nulls_first: "SELECT id, f FROM a ORDER BY f DESC, id DESC LIMIT 4";
    top_k_offset: "SELECT id, x FROM a ORDER BY x, id LIMIT 2 OFFSET 1";
    top_k_hidden_key: "SELECT g FROM a ORDER BY id LIMIT 3";
    top_k_of_aggregate: "SELECT g, count(*) AS n FROM b GROUP BY g ORDER BY n DESC, g LIMIT 2";
    aggregate_of_top_k: "SELECT sum(x) AS s FROM (SELECT id, x FROM a ORDER BY x, id LIMIT 3) t";
    row_number: "SELECT * FROM (SELECT id, g, row_number() OVER (PARTITION BY g ORDER BY x DESC, id) AS rn FROM a) t WHERE rn <= 2";
    row_number_latest: "SELECT id, g FROM (SELECT id, g, row_number() OVER (PARTITION BY g ORDER BY at DESC, id) AS rn FROM a) t WHERE rn = 1";
    row_number_less: "SELECT id, rn FROM (SELECT id, row_number() OVER (ORDER BY f, id) AS rn FROM a) t WHERE rn < 4";
    scalar_subquery: "SELECT id FROM a WHERE x > (SELECT avg(y) FROM b)";
    scalar_subquery_in_select: "SELECT id, (SELECT max(y) FROM b) AS m FROM a";
    correlated_scalar_subquery: "SELECT id, (SELECT count(*) FROM b WHERE b.g = a.g) AS n FROM a";
    correlated_scalar_max: "SELECT id, (SELECT max(y) FROM b WHERE b.g = a.g) AS m FROM a";
    cte: "WITH big AS (SELECT g, sum(y) AS s FROM b GROUP BY g) SELECT a.id, big.s FROM a JOIN big ON a.g = big.g WHERE big.s > 0";
    cte_twice: "WITH t AS (SELECT g, count(*) AS n FROM b GROUP BY g) SELECT p.g, p.n FROM t p JOIN (SELECT max(n) AS m FROM t) q ON p.n = q.m";
    tumble: "SELECT tumble(at, INTERVAL '5 seconds') AS w, count(*) AS n, max(x) AS m FROM a GROUP BY tumble(at, INTERVAL '5 seconds')";
    tumble_table: "SELECT window_start, window_end, g, count(*) AS n FROM tumble(a, at, INTERVAL '10 seconds') GROUP BY window_start, window_end, g";
    hop_table: "SELECT window_start, window_end, count(*) AS n, sum(x) AS s FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') GROUP BY window_start, window_end";
    unnest: "SELECT g, unnest(make_array(y, y + 1)) AS u FROM b";
    now_recent: "SELECT id, x FROM a WHERE at > now() - INTERVAL '3 seconds'";
    now_recent_inclusive: "SELECT id, x FROM a WHERE at >= now() - INTERVAL '3 seconds'";
    now_future: "SELECT id, x FROM a WHERE at > now() + INTERVAL '4 seconds'";
    now_past: "SELECT id, x FROM a WHERE at <= now()";
    now_band: "SELECT id, x FROM a WHERE at > now() - INTERVAL '4 seconds' AND at <= now() + INTERVAL '1 second'";
    now_difference: "SELECT id FROM a WHERE now() - at < INTERVAL '3 seconds'";
    now_between: "SELECT id FROM a WHERE at BETWEEN now() - INTERVAL '3 seconds' AND now()";
    now_nullable: "SELECT k FROM b WHERE ts > now() - INTERVAL '3 seconds'";
    now_aggregate: "SELECT g, count(*) AS n, max(x) AS m FROM a WHERE at > now() - INTERVAL '5 seconds' GROUP BY g";
    now_in_join: "SELECT a.id, b.y FROM a JOIN b ON a.g = b.g WHERE a.at > now() - INTERVAL '5 seconds'";
    now_in_join_on: "SELECT a.id, b.y FROM a JOIN b ON a.g = b.g AND b.ts > now() - INTERVAL '5 seconds'";
    now_in_exists: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.g = a.g AND b.ts > now() - INTERVAL '5 seconds')";
    now_in_not_exists: "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.g = a.g AND b.ts > now() - INTERVAL '5 seconds')";
    now_top_k: "SELECT id, x FROM a WHERE at > now() - INTERVAL '6 seconds' ORDER BY x, id LIMIT 2";
    now_per_group: "SELECT g, max(at) AS last FROM a GROUP BY g HAVING max(at) > now() - INTERVAL '5 seconds'";
    now_stale: "SELECT g, max(at) AS last FROM a GROUP BY g HAVING max(at) <= now() - INTERVAL '5 seconds'";
    date_functions: "SELECT id, date_trunc('minute', at) AS m, extract(second FROM at) AS s FROM a";
    float_group: "SELECT h, count(*) AS n FROM b GROUP BY h";
    bool_group: "SELECT ok, count(*) AS n FROM c GROUP BY ok";
    float_join: "SELECT a.id, b.k FROM a JOIN b ON a.f = b.h";
    int_float_join: "SELECT a.id, b.k FROM a JOIN b ON a.x = b.h";
    timestamp_join: "SELECT a.id, b.k FROM a JOIN b ON a.at = b.ts";
    not_boolean: "SELECT n FROM c WHERE NOT ok";
    constant_filter: "SELECT n FROM c WHERE true";
    constant_column: "SELECT 1 AS one, 'x' AS letter, n FROM c";
    nullif_division: "SELECT id, f / nullif(x, 0) AS q FROM a";
    string_functions: "SELECT length(g) AS l, substr(g, 1, 1) AS s, replace(g, 'b', 'x') AS r FROM b";
    greatest_least: "SELECT greatest(y, k) AS hi, least(y, k) AS lo FROM b";
    count_distinct_all: "SELECT count(DISTINCT g) AS n FROM b";
    two_count_distincts: "SELECT count(DISTINCT g) AS n, count(DISTINCT y) AS m FROM b";
    group_having_no_select: "SELECT g FROM b GROUP BY g HAVING max(y) > 2";
    nested_left_joins: "SELECT a.id, b.y, c.z FROM a LEFT JOIN b ON a.g = b.g LEFT JOIN c ON b.y = c.n";
    left_join_where_null: "SELECT a.id FROM a LEFT JOIN b ON a.g = b.g WHERE b.k IS NULL";
    left_join_to_aggregate: "SELECT a.id, coalesce(t.n, 0) AS n FROM a LEFT JOIN (SELECT g, count(*) AS n FROM b GROUP BY g) t ON a.g = t.g";
    count_over_join_append_only: "SELECT c.g, count(*) AS n FROM c JOIN c d ON c.n = d.n GROUP BY c.g";
    max_over_filtered_append_only: "SELECT max(z) AS m FROM c WHERE ok";
    max_over_distinct_append_only: "SELECT max(z) AS m, min(z) AS l FROM (SELECT DISTINCT g, z FROM c) t";
    max_over_union_append_only: "SELECT max(v) AS m FROM (SELECT n AS v FROM c UNION ALL SELECT n + 1 AS v FROM c) t";
    uncorrelated_in_or: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE y > 3) OR x > 1";
    exists_over_aggregate: "SELECT id FROM a WHERE EXISTS (SELECT g FROM b GROUP BY g HAVING count(*) > 2)";
    distinct_constant: "SELECT DISTINCT 1 AS one FROM b WHERE y > 2";
    row_number_aliased_to_itself: "SELECT id AS id, rn AS rn FROM (SELECT id, row_number() OVER (ORDER BY f, id) AS rn FROM a) t WHERE rn < 4";
    row_number_names_swapped: "SELECT rn AS id, id AS rn FROM (SELECT id, row_number() OVER (ORDER BY f, id) AS rn FROM a) t WHERE rn < 4";
    row_number_alias_chain: "SELECT top FROM (SELECT r AS top, id FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM a) s) t WHERE top <= 2";
    row_number_in_join: "SELECT p.id, p.rn, q.m FROM (SELECT id, row_number() OVER (ORDER BY id) AS rn FROM a) p JOIN (SELECT n AS m FROM c) q ON p.rn = q.m WHERE p.rn <= 2";
    two_row_numbers: "SELECT p.id AS i, q.id AS j FROM (SELECT id, row_number() OVER (ORDER BY id) AS rn FROM a) p JOIN (SELECT id, row_number() OVER (ORDER BY id DESC) AS rn FROM a) q ON p.rn = q.rn WHERE p.rn <= 2 AND q.rn <= 3";
    row_number_lower_bound: "SELECT id, rn FROM (SELECT id, row_number() OVER (ORDER BY id) AS rn FROM a) t WHERE rn <= 3 AND rn > 1";
    row_number_nulls: "SELECT id, rn FROM (SELECT id, row_number() OVER (PARTITION BY g ORDER BY f DESC NULLS LAST, x NULLS FIRST, id) AS rn FROM a) t WHERE rn = 2";
    limit_zero: "SELECT id FROM a ORDER BY id LIMIT 0";
    limit_over_everything: "SELECT g, y, h FROM b ORDER BY y, g, h, k, ts LIMIT 1000";
    limit_of_union: "SELECT v FROM (SELECT id AS v FROM a UNION ALL SELECT n FROM c) t ORDER BY v LIMIT 3";
    union_of_limits: "(SELECT id AS v FROM a ORDER BY id LIMIT 2) UNION ALL (SELECT n FROM c ORDER BY n LIMIT 2)";
    case_in_aggregate: "SELECT g, sum(CASE WHEN y > 1 THEN 1 ELSE 0 END) AS big, count(CASE WHEN y > 1 THEN 1 END) AS c FROM b GROUP BY g";
    group_by_constant: "SELECT 'all' AS k, count(*) AS n FROM b GROUP BY 1";
    group_by_nothing_but_having: "SELECT count(*) AS n FROM b HAVING count(*) > 3";
    avg_of_nulls: "SELECT g, avg(CAST(NULL AS double)) AS a, sum(y) FILTER (WHERE false) AS s FROM b GROUP BY g";
    avg_decimal: "SELECT g, avg(CAST(y AS decimal(10, 2))) AS a, sum(CAST(h AS decimal(10, 2))) AS s FROM b GROUP BY g";
    min_of_text_and_bool: "SELECT min(g) AS a, max(g) AS b, min(ok) AS c, max(ok) AS d FROM c";
    count_distinct_filter: "SELECT count(DISTINCT y) FILTER (WHERE h > 0) AS n FROM b";
    array_agg_of_join: "SELECT a.id, array_agg(b.y) AS ys FROM a LEFT JOIN b ON a.g = b.g GROUP BY a.id";
    median_of_floats_all: "SELECT median(h) AS m FROM b";
    negative_zero: "SELECT h * 0 AS z, count(*) AS n FROM b GROUP BY h * 0";
    cross_join_of_aggregates: "SELECT p.n, q.m FROM (SELECT count(*) AS n FROM a) p CROSS JOIN (SELECT count(*) AS m FROM b) q";
    left_join_on_false: "SELECT a.id, b.y FROM a LEFT JOIN b ON false";
    left_join_on_inequality: "SELECT a.id, b.y FROM a LEFT JOIN b ON a.x > b.y";
    full_join_on_inequality: "SELECT a.id, b.y, b.h FROM a FULL JOIN b ON a.x > b.y";
    anti_join_on_inequality: "SELECT a.id FROM a LEFT ANTI JOIN b ON a.x < b.y";
    duplicate_rows_in_semi_join: "SELECT g, y FROM b WHERE g IN (SELECT g FROM c)";
    duplicate_rows_in_anti_join: "SELECT g, y FROM b WHERE NOT EXISTS (SELECT 1 FROM c WHERE c.g = b.g AND c.n > b.y)";
    duplicate_rows_in_left_join: "SELECT b.g, b.y, c.n FROM b LEFT JOIN c ON c.g = b.g AND c.n > b.y";
    join_on_constant_side: "SELECT a.id, b.y FROM a JOIN b ON a.g = b.g AND a.x = 1 AND b.y = 2";
    exists_in_case: "SELECT id, CASE WHEN EXISTS (SELECT 1 FROM b WHERE b.g = a.g) THEN 'yes' ELSE 'no' END AS e FROM a";
    nested_exists: "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.g = a.g AND NOT EXISTS (SELECT 1 FROM c WHERE c.n = b.y))";
    scalar_subquery_of_nothing: "SELECT id, (SELECT max(y) FROM b WHERE y > 100) AS m FROM a";
    scalar_subquery_arith: "SELECT id, x - (SELECT avg(y) FROM b) AS d FROM a WHERE x IS NOT NULL";
    correlated_count_compare: "SELECT id FROM a WHERE (SELECT count(*) FROM b WHERE b.g = a.g) > 1";
    correlated_count_zero: "SELECT id FROM a WHERE (SELECT count(*) FROM b WHERE b.g = a.g) = 0";
    now_and_static: "SELECT id FROM a WHERE at > now() - INTERVAL '5 seconds' AND x > 0 AND g IS NOT NULL";
    now_reversed: "SELECT id FROM a WHERE now() - INTERVAL '3 seconds' < at";
    now_not: "SELECT id FROM a WHERE NOT (at > now() - INTERVAL '3 seconds')";
    now_column_interval: "SELECT id FROM a WHERE at + x * INTERVAL '1 second' > now()";
    now_full_join_of_recent: "SELECT p.id, q.k FROM (SELECT * FROM a WHERE at > now() - INTERVAL '4 seconds') p FULL JOIN (SELECT * FROM b WHERE ts > now() - INTERVAL '2 seconds') q ON p.g = q.g";
    now_distinct: "SELECT DISTINCT g FROM a WHERE at > now() - INTERVAL '4 seconds'";
    now_union: "SELECT id FROM a WHERE at > now() - INTERVAL '4 seconds' UNION SELECT k FROM b WHERE ts <= now()";
    now_row_number: "SELECT id, g FROM (SELECT id, g, row_number() OVER (PARTITION BY g ORDER BY at DESC, id) AS rn FROM a WHERE at <= now()) t WHERE rn = 1";
    now_over_max: "SELECT max(x) AS m FROM a WHERE at > now() - INTERVAL '2 seconds'";
    now_count_all: "SELECT count(*) AS n FROM a WHERE at > now() - INTERVAL '2 seconds'";
    now_window: "SELECT tumble(at, INTERVAL '2 seconds') AS w, count(*) AS n FROM a WHERE at <= now() GROUP BY tumble(at, INTERVAL '2 seconds')";
    now_append_only_max: "SELECT g, max(n) AS m FROM c WHERE c.g IS NOT NULL GROUP BY g";
    hop_join: "SELECT w.window_start, w.id, b.y FROM hop(a, at, INTERVAL '5 seconds', INTERVAL '10 seconds') w JOIN b ON w.g = b.g";
    tumble_top: "SELECT window_start, id FROM (SELECT window_start, id, row_number() OVER (PARTITION BY window_start ORDER BY x DESC, id) AS rn FROM tumble(a, at, INTERVAL '5 seconds')) t WHERE rn = 1";
    regexp: "SELECT g FROM b WHERE g ~ '^b+$'";
    date_bin: "SELECT date_bin(INTERVAL '5 seconds', at) AS w, count(*) AS n FROM a GROUP BY 1";
}
