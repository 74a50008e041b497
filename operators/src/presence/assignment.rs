//! Who is who: the cheapest way to give boxes to tracks, where either may be left out.
//!
//! It is the assignment problem, solved exactly by shortest augmenting paths (H. W. Kuhn, The Hungarian Method for the
//! Assignment Problem, 1955; R. Jonker and A. Volgenant, Computing 38, 1987) in O(n²·(n + m)). A row that is left out costs
//! `out`, so that no pair is made that costs more, and a cheap pair is never given up for two dear ones that together
//! cost more than leaving one out. All costs are finite within: a pair that must not be costs twice as much as leaving
//! its row out, and so is in no cheapest solution.

/// The cheapest assignment: for each row its column, if it has one.
///
/// `costs` has a row per track and a column per box, `None` where they cannot be the same; what costs `out` or more, or
/// is not a number, counts as `None`. Costs are not negative.
#[must_use]
pub fn assign(costs: &[Vec<Option<f64>>], out: f64) -> Vec<Option<usize>> {
    let mut paths = Paths::new(costs, out);
    (0..costs.len()).for_each(|row| paths.augment(row));
    let mut columns = vec![None; costs.len()];
    for (column, row) in paths.row_of.iter().enumerate().take(paths.columns) {
        if let Some(row) = row {
            columns[*row] = Some(column);
        }
    }
    columns
}

/// A partial assignment of the first rows, with prices that prove it cheapest.
struct Paths<'c> {
    costs: &'c [Vec<Option<f64>>],
    out: f64,
    /// Real columns; behind them stands one per row for leaving it out.
    columns: usize,
    row_of: Vec<Option<usize>>,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
}

impl<'c> Paths<'c> {
    fn new(costs: &'c [Vec<Option<f64>>], out: f64) -> Self {
        let columns = costs.first().map_or(0, Vec::len);
        let all = columns + costs.len();
        Paths {
            costs,
            out,
            columns,
            row_of: vec![None; all],
            row_price: vec![0.0; costs.len()],
            column_price: vec![0.0; all],
        }
    }

    fn cost(&self, row: usize, column: usize) -> f64 {
        match self.costs[row].get(column) {
            Some(Some(cost)) if *cost < self.out => *cost,
            Some(_) => 2.0 * self.out,
            None => self.out,
        }
    }

    /// Takes one more row in, along the cheapest path of changes.
    fn augment(&mut self, start: usize) {
        let all = self.row_of.len();
        let (mut distance, mut before, mut done) = (vec![f64::INFINITY; all], vec![None; all], vec![false; all]);
        let (mut row, mut from) = (start, None);
        let last = loop {
            let (mut nearest, mut step) = (None, f64::INFINITY);
            for column in 0..all {
                if done[column] {
                    continue;
                }
                let reduced = self.cost(row, column) - self.row_price[row] - self.column_price[column];
                if reduced < distance[column] {
                    (distance[column], before[column]) = (reduced, from);
                }
                if distance[column] < step {
                    (nearest, step) = (Some(column), distance[column]);
                }
            }
            // There are more columns than rows, and all costs are finite: one is left.
            let Some(column) = nearest else { return };
            self.reprice(start, step, &mut distance, &done);
            done[column] = true;
            match self.row_of[column] {
                None => break column,
                Some(owner) => (row, from) = (owner, Some(column)),
            }
        };
        self.shift(start, last, &before);
    }

    fn reprice(&mut self, start: usize, step: f64, distance: &mut [f64], done: &[bool]) {
        self.row_price[start] += step;
        for column in 0..done.len() {
            match (done[column], self.row_of[column]) {
                (true, Some(row)) => {
                    self.row_price[row] += step;
                    self.column_price[column] -= step;
                }
                _ => distance[column] -= step,
            }
        }
    }

    /// Moves every row on the path to its next column.
    fn shift(&mut self, start: usize, last: usize, before: &[Option<usize>]) {
        let mut column = last;
        while let Some(previous) = before[column] {
            self.row_of[column] = self.row_of[previous];
            column = previous;
        }
        self.row_of[column] = Some(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUT: f64 = 10.0;

    fn price(costs: &[Vec<Option<f64>>], columns: &[Option<usize>]) -> f64 {
        let one = |(row, column): (usize, &Option<usize>)| match column {
            None => OUT,
            Some(column) => costs[row][*column].unwrap_or(f64::INFINITY),
        };
        columns.iter().enumerate().map(one).sum()
    }

    /// All ways, one after the other.
    fn cheapest(costs: &[Vec<Option<f64>>], row: usize, taken: &mut Vec<bool>) -> f64 {
        if row == costs.len() {
            return 0.0;
        }
        let mut best = OUT + cheapest(costs, row + 1, taken);
        for column in 0..taken.len() {
            if let (false, Some(cost)) = (taken[column], costs[row][column]) {
                taken[column] = true;
                best = best.min(cost + cheapest(costs, row + 1, taken));
                taken[column] = false;
            }
        }
        best
    }

    fn costs() -> impl Strategy<Value = Vec<Vec<Option<f64>>>> {
        let cost = prop_oneof![3 => (0.0..15.0_f64).prop_map(Some), 2 => (0..4_u8).prop_map(|c| Some(f64::from(c))), 1 => Just(None)];
        (0..6_usize, 0..6_usize).prop_flat_map(move |(rows, columns)| {
            prop::collection::vec(prop::collection::vec(cost.clone(), columns), rows)
        })
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_cheaper(costs in costs()) {
            let found = assign(&costs, OUT);
            let mut taken: Vec<usize> = found.iter().flatten().copied().collect();
            taken.sort_unstable();
            prop_assert!(taken.windows(2).all(|pair| pair[0] < pair[1]));
            let columns = costs.first().map_or(0, Vec::len);
            let best = cheapest(&costs, 0, &mut vec![false; columns]);
            prop_assert!((price(&costs, &found) - best).abs() < 1e-9, "{found:?} costs more than {best}");
        }
    }

    #[test]
    fn a_cheap_pair_is_given_up_for_two_that_are_cheaper_together() {
        let costs = vec![vec![Some(1.0), Some(2.0)], vec![Some(2.0), None]];
        assert_eq!(assign(&costs, OUT), [Some(1), Some(0)]);
        assert_eq!(assign(&costs, 1.5), [Some(0), None]);
    }

    #[test]
    fn what_is_no_number_is_no_pair() {
        assert_eq!(assign(&[vec![Some(f64::NAN), Some(f64::INFINITY)]], OUT), [None]);
        assert_eq!(assign(&[vec![], vec![]], OUT), [None, None]);
    }
}
