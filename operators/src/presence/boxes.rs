//! Boxes that a detector draws around what it finds in a frame.

/// More boxes of one frame are not looked at; those of the highest scores are.
pub const BOXES: usize = 64;

/// No box is smaller than this: about a pixel.
const SMALLEST: f64 = 0.001;

/// A box within the picture, in shares of its width and height, y downwards. It is never empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    /// The part of a box that lies within the picture; `None` if there is none, or a number is none.
    #[must_use]
    pub fn new(left: f64, top: f64, width: f64, height: f64) -> Option<Self> {
        let is_box = [left, top, width, height].iter().all(|share| share.is_finite()) && width > 0.0 && height > 0.0;
        let within = |start: f64, length: f64| (start.max(0.0), (start + length).min(1.0) - start.max(0.0));
        let ((left, width), (top, height)) = (within(left, width), within(top, height));
        let least = |start: f64, length: f64| (start.min(1.0 - SMALLEST), length.max(SMALLEST));
        let is_seen = is_box && width > 0.0 && height > 0.0;
        let ((left, width), (top, height)) = (least(left, width), least(top, height));
        is_seen.then_some(Rect { left, top, width, height })
    }

    #[must_use]
    pub fn bottom(&self) -> f64 {
        (self.top + self.height).min(1.0)
    }

    #[must_use]
    pub fn centre(&self) -> [f64; 2] {
        [self.left + self.width / 2.0, self.top + self.height / 2.0]
    }

    /// The middle of the lower side: where the feet are, as far as can be seen.
    #[must_use]
    pub fn foot(&self) -> [f64; 2] {
        [self.centre()[0], self.bottom()]
    }

    /// Intersection over union.
    #[must_use]
    pub fn overlap(&self, other: &Rect) -> f64 {
        let common = |a: f64, along: f64, b: f64, blong: f64| ((a + along).min(b + blong) - a.max(b)).max(0.0);
        let both = common(self.left, self.width, other.left, other.width)
            * common(self.top, self.height, other.top, other.height);
        both / (self.width * self.height + other.width * other.height - both)
    }
}

/// A box with how sure the detector is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// 0 to 1.
    pub score: f64,
    pub rect: Rect,
}

/// What a detector found in a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Highest scores first; the order in which they came does not show.
    pub found: Vec<Found>,
    /// Everything that was found is there. If not, the frame does not prove that anybody is absent.
    pub whole: bool,
}

impl Findings {
    /// From the boxes of what is looked for; `None` stands for one that cannot be understood.
    pub fn new(boxes: impl IntoIterator<Item = Option<Found>>) -> Self {
        let (mut found, mut whole) = (vec![], true);
        for one in boxes {
            match one.filter(|found| found.score.is_finite()) {
                Some(one) => found.push(one),
                None => whole = false,
            }
        }
        let order = |f: &Found| [-f.score, f.rect.left, f.rect.top, f.rect.width, f.rect.height];
        found.sort_by(|a, b| {
            let pairs = order(a).into_iter().zip(order(b));
            pairs.fold(std::cmp::Ordering::Equal, |so_far, (a, b)| so_far.then(a.total_cmp(&b)))
        });
        whole &= found.len() <= BOXES;
        found.truncate(BOXES);
        Findings { found, whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_cut_to_the_picture() {
        let cut = Rect::new(-0.1, 0.9, 0.3, 0.3).expect("part of it is in the picture");
        assert!((cut.width - 0.2).abs() < 1e-12 && (cut.height - 0.1).abs() < 1e-12 && cut.bottom() == 1.0);
        let speck = Rect::new(1.0 - 1e-9, 0.5, 1e-10, 1e-5).expect("it is in the picture");
        assert!(speck.width == SMALLEST && speck.left + speck.width <= 1.0);
        for wrong in [[1.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, -1.0, 0.5], [f64::NAN, 0.0, 1.0, 1.0]] {
            assert_eq!(Rect::new(wrong[0], wrong[1], wrong[2], wrong[3]), None, "{wrong:?}");
        }
    }

    #[test]
    fn overlap_is_one_with_itself_and_none_with_what_is_beside_it() {
        let [a, b, c] = [0.1, 0.2, 0.5].map(|left| Rect::new(left, 0.1, 0.2, 0.4).expect("it is in the picture"));
        assert!((a.overlap(&a) - 1.0).abs() < 1e-12 && a.overlap(&c) == 0.0);
        assert!((a.overlap(&b) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_understood_makes_a_frame_incomplete() {
        let found = |score| Rect::new(0.1, 0.1, 0.2, 0.4).map(|rect| Found { score, rect });
        assert!(Findings::new([found(0.5), found(0.9)]).whole);
        assert!(!Findings::new([found(0.5), None]).whole);
        assert!(!Findings::new([found(f64::NAN)]).whole);
        let many = Findings::new((0..10_000).map(|n| found(f64::from(n) / 10_000.0)));
        assert!(!many.whole && many.found.len() == BOXES && many.found[0].score > 0.99);
    }
}
