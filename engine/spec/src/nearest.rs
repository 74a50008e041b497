//! What somebody who misspelt a name probably meant.

/// The candidate nearest to `name`, if it is near enough to be a slip: a third of the letters may be wrong, swapped,
/// missing or too many (optimal string alignment distance), and upper and lower case count as the same.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).take(LONGEST).collect::<Vec<_>>();
    let written = letters(name);
    let near = candidates.into_iter().filter_map(|candidate| {
        let meant = letters(candidate);
        let allowed = (written.len().max(meant.len()) / 3).max(1);
        let distance = distance(&written, &meant);
        (distance <= allowed && distance < meant.len()).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Names are short; a hostile one must not cost quadratic time.
const LONGEST: usize = 64;

/// Letters to insert, delete, replace or swap with their neighbour to turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![(0..width).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised() {
        let keys = ["schema", "time", "lateness", "retain", "key"];
        for (written, meant) in
            [("shcema", "schema"), ("latness", "lateness"), ("Time", "time"), ("retian", "retain"), ("keys", "key")]
        {
            assert_eq!(nearest(written, keys), Some(meant), "{written}");
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        for written in ["mqtt", "x", "", "file"] {
            assert_eq!(nearest(written, ["schema", "lateness", "retain"]), None, "{written}");
        }
    }
}
