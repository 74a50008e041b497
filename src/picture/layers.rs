//! Where boxes stand so that all arrows point to the right.
//!
//! The layered drawing of Sugiyama, Tagawa and Toda (1981) in its simplest form: a box stands one layer to the right of
//! the last of those it comes from; an arrow across several layers gets a point in each; boxes and points of a layer are
//! ordered by the mean place of their neighbours, again and again; then each moves as near to its neighbours as the
//! others let it.

/// Space between the boxes of a layer, and between layers.
const GAP: f64 = 18.0;
const LAYER_GAP: f64 = 56.0;
const SWEEPS: usize = 12;

/// Boxes and ways, in the units of the given sizes; nothing is left of or above the origin.
#[derive(Debug)]
pub struct Layout {
    /// Upper left corners.
    pub corners: Vec<(f64, f64)>,
    /// For each arrow the points that it runs through.
    pub routes: Vec<Vec<(f64, f64)>>,
    pub width: f64,
    pub height: f64,
}

/// A box, or the point of an arrow that crosses a layer.
struct Item {
    layer: usize,
    width: f64,
    height: f64,
    /// The middle.
    y: f64,
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Lays out boxes of these sizes (width, height). Arrows must not run in circles.
pub fn lay_out(sizes: &[(f64, f64)], arrows: &[(usize, usize)]) -> Layout {
    let layers = layers(sizes.len(), arrows);
    let mut items: Vec<Item> = sizes
        .iter()
        .zip(&layers)
        .map(|((width, height), layer)| Item {
            layer: *layer,
            width: *width,
            height: *height,
            y: 0.0,
            before: vec![],
            after: vec![],
        })
        .collect();
    let ways: Vec<Vec<usize>> = arrows.iter().map(|arrow| way(&mut items, *arrow)).collect();
    let depth = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![vec![]; depth];
    for (i, item) in items.iter().enumerate() {
        rows[item.layer].push(i);
    }
    for row in &rows {
        stack(&mut items, row);
    }
    for sweep in 0..SWEEPS {
        order(&mut items, &mut rows, sweep % 2 == 0);
    }
    for sweep in 0..SWEEPS {
        pull(&mut items, &rows, sweep % 2 == 0);
    }
    finish(&items, &rows, &ways, sizes.len())
}

fn layers(count: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; count];
    // As many rounds as the longest path has boxes; without circles it then stands still.
    for _ in 0..count {
        let mut moved = false;
        for (from, to) in arrows {
            if layers[*to] <= layers[*from] {
                layers[*to] = layers[*from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    // What comes from nowhere stands just before the first that needs it.
    for start in (0..count).filter(|i| arrows.iter().all(|(_, to)| to != i)) {
        let first = arrows.iter().filter(|(from, _)| *from == start).map(|(_, to)| layers[*to]).min();
        layers[start] = first.map_or(0, |first| first - 1);
    }
    layers
}

/// Puts in the points of an arrow; gives all it runs through, both ends included.
fn way(items: &mut Vec<Item>, (from, to): (usize, usize)) -> Vec<usize> {
    let mut way = vec![from];
    for layer in items[from].layer + 1..items[to].layer {
        way.push(items.len());
        items.push(Item { layer, width: 0.0, height: 0.0, y: 0.0, before: vec![], after: vec![] });
    }
    way.push(to);
    for pair in way.windows(2) {
        items[pair[0]].after.push(pair[1]);
        items[pair[1]].before.push(pair[0]);
    }
    way
}

fn stack(items: &mut [Item], row: &[usize]) {
    let mut y = 0.0;
    for i in row {
        items[*i].y = y + items[*i].height / 2.0;
        y += items[*i].height + GAP;
    }
}

fn wish(items: &[Item], i: usize, forward: bool) -> f64 {
    let neighbours = if forward { &items[i].before } else { &items[i].after };
    if neighbours.is_empty() {
        return items[i].y;
    }
    neighbours.iter().map(|n| items[*n].y).sum::<f64>() / neighbours.len() as f64
}

fn order(items: &mut [Item], rows: &mut [Vec<usize>], forward: bool) {
    for r in direction(rows.len(), forward) {
        let mut row = std::mem::take(&mut rows[r]);
        row.sort_by(|a, b| wish(items, *a, forward).total_cmp(&wish(items, *b, forward)));
        stack(items, &row);
        rows[r] = row;
    }
}

/// Moves each towards its neighbours, keeping order and space.
fn pull(items: &mut [Item], rows: &[Vec<usize>], forward: bool) {
    for r in direction(rows.len(), forward) {
        let row = &rows[r];
        let wishes: Vec<f64> = row.iter().map(|i| wish(items, *i, forward)).collect();
        let space = |items: &[Item], a: usize, b: usize| (items[a].height + items[b].height) / 2.0 + GAP;
        // The lowest places that keep the space, and the highest; in between none overlap.
        let (mut low, mut high) = (wishes.clone(), wishes);
        for k in 1..row.len() {
            low[k] = low[k].max(low[k - 1] + space(items, row[k - 1], row[k]));
        }
        for k in (1..row.len()).rev() {
            high[k - 1] = high[k - 1].min(high[k] - space(items, row[k - 1], row[k]));
        }
        for (k, i) in row.iter().enumerate() {
            items[*i].y = (low[k] + high[k]) / 2.0;
        }
    }
}

fn direction(count: usize, forward: bool) -> Box<dyn Iterator<Item = usize>> {
    if forward { Box::new(0..count) } else { Box::new((0..count).rev()) }
}

fn finish(items: &[Item], rows: &[Vec<usize>], ways: &[Vec<usize>], boxes: usize) -> Layout {
    let top = items.iter().map(|item| item.y - item.height / 2.0).fold(f64::INFINITY, f64::min);
    let top = if top.is_finite() { top } else { 0.0 };
    let bottom = items.iter().map(|item| item.y + item.height / 2.0).fold(top, f64::max);
    let (mut lefts, mut widths, mut x) = (vec![], vec![], 0.0);
    for row in rows {
        let width = row.iter().map(|i| items[*i].width).fold(0.0, f64::max);
        lefts.push(x);
        widths.push(width);
        x += width + LAYER_GAP;
    }
    let left = |item: &Item| lefts[item.layer] + (widths[item.layer] - item.width) / 2.0;
    let corners = items[..boxes].iter().map(|item| (left(item), item.y - item.height / 2.0 - top)).collect();
    let route = |way: &Vec<usize>| {
        let mut points = vec![];
        for (k, i) in way.iter().enumerate() {
            let (item, y) = (&items[*i], items[*i].y - top);
            match k {
                0 => points.push((left(item) + item.width, y)),
                k if k + 1 == way.len() => points.push((left(item), y)),
                // Straight through the whole width of the layer, so as not to cut its boxes.
                _ => points.extend([(lefts[item.layer], y), (lefts[item.layer] + widths[item.layer], y)]),
            }
        }
        points
    };
    Layout { corners, routes: ways.iter().map(route).collect(), width: (x - LAYER_GAP).max(0.0), height: bottom - top }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph without circles from a few numbers.
    #[allow(clippy::type_complexity, reason = "sizes and edges, as the function under test takes them")]
    fn some_graph(seed: u64) -> (Vec<(f64, f64)>, Vec<(usize, usize)>) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let count = 1 + next(14) as usize;
        let sizes = (0..count).map(|_| (20.0 + next(200) as f64, 20.0 + next(40) as f64)).collect();
        let mut arrows = vec![];
        for to in 1..count {
            for _ in 0..next(3) {
                arrows.push((next(to as u64) as usize, to));
            }
        }
        (sizes, arrows)
    }

    #[test]
    fn boxes_do_not_overlap() {
        for seed in 0..300 {
            let (sizes, arrows) = some_graph(seed);
            let layout = lay_out(&sizes, &arrows);
            for a in 0..sizes.len() {
                for b in 0..a {
                    let ((ax, ay), (bx, by)) = (layout.corners[a], layout.corners[b]);
                    let apart = ax + sizes[a].0 <= bx
                        || bx + sizes[b].0 <= ax
                        || ay + sizes[a].1 <= by + 0.01
                        || by + sizes[b].1 <= ay + 0.01;
                    assert!(apart, "{a} and {b} of graph {seed}");
                }
            }
        }
    }

    #[test]
    fn all_is_inside_and_arrows_point_to_the_right() {
        for seed in 0..300 {
            let (sizes, arrows) = some_graph(seed);
            let layout = lay_out(&sizes, &arrows);
            let inside =
                |x: f64, y: f64| x >= -0.01 && y >= -0.01 && x <= layout.width + 0.01 && y <= layout.height + 0.01;
            for ((x, y), (width, height)) in layout.corners.iter().zip(&sizes) {
                assert!(inside(*x, *y) && inside(x + width, y + height), "graph {seed}");
            }
            for route in &layout.routes {
                assert!(route.windows(2).all(|pair| pair[0].0 < pair[1].0 + 0.01), "graph {seed}");
                assert!(route.iter().all(|(x, y)| inside(*x, *y)), "graph {seed}");
            }
        }
    }

    #[test]
    fn nothing_takes_no_room() {
        let layout = lay_out(&[], &[]);
        assert_eq!((layout.width, layout.height), (0.0, 0.0));
    }
}
