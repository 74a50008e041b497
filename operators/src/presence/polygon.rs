//! Areas of a picture: simple polygons, in shares of its width and height, y downwards. Their borders belong to them.

use std::fmt;

/// More corners than anybody draws.
pub const CORNERS: usize = 100;

/// A simple polygon within the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon(Vec<[f64; 2]>);

/// Why corners make no area; numbers are those of corners, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPolygon {
    TooFew,
    TooMany,
    Outside(usize),
    /// It is where the one before is.
    Twice(usize),
    /// The side that begins here touches or crosses another one.
    Crossing(usize),
}

impl fmt::Display for NoPolygon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPolygon::TooFew => f.write_str("a zone has 3 corners at least"),
            NoPolygon::TooMany => write!(f, "a zone has {CORNERS} corners at most"),
            NoPolygon::Outside(_) => f.write_str("this corner lies outside of the picture"),
            NoPolygon::Twice(_) => f.write_str("this corner is where the one before is"),
            NoPolygon::Crossing(_) => f.write_str("the side from this corner to the next one touches another side"),
        }
    }
}

impl NoPolygon {
    /// The corner that it is about.
    pub fn corner(self) -> Option<usize> {
        match self {
            NoPolygon::TooFew | NoPolygon::TooMany => None,
            NoPolygon::Outside(corner) | NoPolygon::Twice(corner) | NoPolygon::Crossing(corner) => Some(corner),
        }
    }
}

impl Polygon {
    /// # Errors
    /// The corners make no simple polygon within the picture.
    pub fn new(corners: Vec<[f64; 2]>) -> Result<Self, NoPolygon> {
        let count = corners.len();
        if count < 3 {
            return Err(NoPolygon::TooFew);
        }
        if count > CORNERS {
            return Err(NoPolygon::TooMany);
        }
        let is_outside = |corner: &[f64; 2]| corner.iter().any(|share| !(0.0..=1.0).contains(share));
        if let Some(corner) = corners.iter().position(is_outside) {
            return Err(NoPolygon::Outside(corner));
        }
        let side = |number: usize| (corners[number], corners[(number + 1) % count]);
        if let Some(corner) = (0..count).find(|number| side(*number).0 == side(*number).1) {
            return Err(NoPolygon::Twice((corner + 1) % count));
        }
        for one in 0..count {
            for other in one + 1..count {
                let wrong = if other == one + 1 {
                    folds(side(one), side(other))
                } else if (other + 1) % count == one {
                    folds(side(other), side(one))
                } else {
                    meet(side(one), side(other))
                };
                if wrong {
                    return Err(NoPolygon::Crossing(one));
                }
            }
        }
        Ok(Polygon(corners))
    }

    fn sides(&self) -> impl Iterator<Item = ([f64; 2], [f64; 2])> {
        self.0.iter().copied().zip(self.0.iter().copied().cycle().skip(1))
    }

    /// Whether a point lies in it or on its border: the even-odd rule.
    #[must_use]
    pub fn contains(&self, point: [f64; 2]) -> bool {
        let [x, y] = point;
        let mut is_inside = false;
        for (a, b) in self.sides() {
            if lies_on((a, b), point) {
                return true;
            }
            if (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0] {
                is_inside = !is_inside;
            }
        }
        is_inside
    }

    /// Whether any part of it lies within an ellipse around a point, with such half axes.
    #[must_use]
    pub fn is_within_reach(&self, point: [f64; 2], reach: [f64; 2]) -> bool {
        if self.contains(point) {
            return true;
        }
        // In units of the half axes the ellipse is a circle of 1.
        let place = |corner: [f64; 2]| [(corner[0] - point[0]) / reach[0], (corner[1] - point[1]) / reach[1]];
        reach.iter().all(|axis| *axis > 0.0) && self.sides().any(|(a, b)| distance2(place(a), place(b)) <= 1.0)
    }
}

/// The square of the distance of a line from the origin.
fn distance2(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    let length2 = dx * dx + dy * dy;
    let part = if length2 > 0.0 { (-(a[0] * dx + a[1] * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
    let [x, y] = [a[0] + part * dx, a[1] + part * dy];
    x * x + y * y
}

/// On which side of a line a point lies: positive, negative, or 0 on it.
fn turn((a, b): ([f64; 2], [f64; 2]), p: [f64; 2]) -> f64 {
    (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
}

fn lies_on(side: ([f64; 2], [f64; 2]), p: [f64; 2]) -> bool {
    let (a, b) = side;
    let between = |axis: usize| a[axis].min(b[axis]) <= p[axis] && p[axis] <= a[axis].max(b[axis]);
    between(0) && between(1) && turn(side, p) == 0.0
}

/// Whether two sides have a point in common.
fn meet(one: ([f64; 2], [f64; 2]), other: ([f64; 2], [f64; 2])) -> bool {
    let apart = |line, (a, b)| turn(line, a) * turn(line, b) < 0.0;
    let crosses = apart(one, other) && apart(other, one);
    let touches =
        [other.0, other.1].iter().any(|p| lies_on(one, *p)) || [one.0, one.1].iter().any(|p| lies_on(other, *p));
    crosses || touches
}

/// Whether the second side, which begins where the first ends, goes back on it.
fn folds(first: ([f64; 2], [f64; 2]), second: ([f64; 2], [f64; 2])) -> bool {
    lies_on(first, second.1) || lies_on(second, first.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square() -> Polygon {
        Polygon::new(vec![[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]).expect("a square is simple")
    }

    #[test]
    fn corners_must_make_an_area() {
        let refused = |corners: &[[f64; 2]]| Polygon::new(corners.to_vec()).err();
        assert_eq!(refused(&[[0.0, 0.0], [1.0, 1.0]]), Some(NoPolygon::TooFew));
        assert_eq!(refused(&[[0.0, 0.0], [1.0, 0.0], [1.1, 1.0]]), Some(NoPolygon::Outside(2)));
        assert_eq!(refused(&[[0.0, 0.0], [1.0, f64::NAN], [1.0, 1.0]]), Some(NoPolygon::Outside(1)));
        assert_eq!(refused(&[[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), Some(NoPolygon::Twice(2)));
        assert_eq!(refused(&[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), Some(NoPolygon::Twice(0)));
        // An hourglass, a line there and back, a corner on a side.
        assert_eq!(refused(&[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), Some(NoPolygon::Crossing(0)));
        assert_eq!(refused(&[[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]), Some(NoPolygon::Crossing(0)));
        assert_eq!(
            refused(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.0], [0.0, 1.0]]),
            Some(NoPolygon::Crossing(0))
        );
        assert_eq!(refused(&vec![[0.5, 0.5]; CORNERS + 1]), Some(NoPolygon::TooMany));
    }

    #[test]
    fn the_border_belongs_to_it_also_at_the_edge_of_the_picture() {
        let whole = Polygon::new(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).expect("a square is simple");
        for point in [[0.0, 0.0], [0.5, 1.0], [1.0, 1.0], [1.0, 0.3], [0.5, 0.5]] {
            assert!(whole.contains(point), "{point:?}");
        }
        assert!(!square().contains([0.601, 0.4]) && !square().contains([0.4, 0.19]));
    }

    #[test]
    fn a_notch_is_outside() {
        let bay = vec![[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.5, 0.4], [0.1, 0.9]];
        let bay = Polygon::new(bay).expect("it is simple");
        assert!(!bay.contains([0.5, 0.8]) && bay.contains([0.5, 0.3]) && bay.contains([0.15, 0.8]));
    }

    proptest! {
        /// Of a convex polygon: a point is inside if it is on the same side of all sides.
        #[test]
        fn a_triangle_contains_what_is_on_the_inner_side_of_its_sides(
            corners in prop::array::uniform3(prop::array::uniform2(0.0..1.0_f64)), point in prop::array::uniform2(0.0..1.0_f64)
        ) {
            let Ok(triangle) = Polygon::new(corners.to_vec()) else { return Ok(()) };
            let turns: Vec<f64> = triangle.sides().map(|side| turn(side, point)).collect();
            prop_assume!(turns.iter().all(|turn| turn.abs() > 1e-9));
            let is_inside = turns.iter().all(|turn| *turn > 0.0) || turns.iter().all(|turn| *turn < 0.0);
            prop_assert_eq!(triangle.contains(point), is_inside);
        }

        /// Compared with a square's distance, which is known.
        #[test]
        fn reach_is_the_distance_to_the_nearest_side(point in prop::array::uniform2(0.0..1.0_f64), reach in 0.001..0.5_f64) {
            let outside = |share: f64| (0.2 - share).max(share - 0.6).max(0.0);
            let [dx, dy] = point.map(outside);
            let distance = (dx * dx + dy * dy).sqrt();
            prop_assume!((distance - reach).abs() > 1e-9);
            prop_assert_eq!(square().is_within_reach(point, [reach, reach]), distance < reach);
        }
    }
}
