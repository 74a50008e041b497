//! Where a picture lies in a model's input, and where a box of the input lies in the picture.

use super::description::Fit;

/// The place of a picture in an input, in the input's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub left: u32,
    pub top: u32,
    /// What the picture is resized to; not 0.
    pub width: u32,
    pub height: u32,
}

impl Placement {
    /// Of a picture of one size in an input of another; no size is 0.
    pub fn new(fit: Fit, picture: (u32, u32), input: (u32, u32)) -> Self {
        let (width, height) = match fit {
            Fit::Stretch => input,
            Fit::Letterbox => {
                let scale = |to: u32, from: u32| f64::from(to) / f64::from(from.max(1));
                let scale = scale(input.0, picture.0).min(scale(input.1, picture.1));
                let side = |from: u32, most: u32| ((f64::from(from) * scale).round() as u32).clamp(1, most.max(1));
                (side(picture.0, input.0), side(picture.1, input.1))
            }
        };
        // An odd pixel of the margin goes to the right and to the bottom, as in Ultralytics' exports.
        let margin = |of: u32, taken: u32| of.saturating_sub(taken) / 2;
        Placement { left: margin(input.0, width), top: margin(input.1, height), width, height }
    }

    /// Corners in pixels of the input become shares of the picture, cut off at its edges; `None`: nothing of the box is
    /// in the picture.
    pub fn to_picture(self, corners: [f64; 4]) -> Option<[f64; 4]> {
        let across = |x: f64| ((x - f64::from(self.left)) / f64::from(self.width)).clamp(0.0, 1.0);
        let down = |y: f64| ((y - f64::from(self.top)) / f64::from(self.height)).clamp(0.0, 1.0);
        let [left, top, right, bottom] = corners;
        let shares = [across(left), down(top), across(right), down(bottom)];
        (shares[0] < shares[2] && shares[1] < shares[3]).then_some(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wide_picture_has_margins_above_and_below() {
        let placement = Placement::new(Fit::Letterbox, (1280, 720), (640, 640));
        assert_eq!(placement, Placement { left: 0, top: 140, width: 640, height: 360 });
        assert_eq!(placement.to_picture([0.0, 140.0, 320.0, 320.0]), Some([0.0, 0.0, 0.5, 0.5]));
        assert_eq!(placement.to_picture([0.0, 0.0, 640.0, 139.0]), None);
    }

    #[test]
    fn a_stretched_picture_fills_the_input() {
        let placement = Placement::new(Fit::Stretch, (1280, 720), (416, 416));
        assert_eq!(placement, Placement { left: 0, top: 0, width: 416, height: 416 });
        assert_eq!(placement.to_picture([104.0, -50.0, 208.0, 500.0]), Some([0.25, 0.0, 0.5, 1.0]));
    }

    proptest! {
        #[test]
        fn a_box_goes_there_and_back(
            (fit, picture, input) in places(), (x, y) in (0.0..0.9, 0.0..0.9), (w, h) in (0.01..0.1, 0.01..0.1)
        ) {
            let placement = Placement::new(fit, picture, input);
            let across = |x: f64| f64::from(placement.left) + x * f64::from(placement.width);
            let down = |y: f64| f64::from(placement.top) + y * f64::from(placement.height);
            let found = placement.to_picture([across(x), down(y), across(x + w), down(y + h)]).unwrap();
            for (found, expected) in found.into_iter().zip([x, y, x + w, y + h]) {
                prop_assert!((found - expected).abs() < 1e-9);
            }
        }

        #[test]
        fn a_picture_lies_within_the_input_and_keeps_its_shape((fit, picture, input) in places()) {
            let placed = Placement::new(fit, picture, input);
            prop_assert!(placed.width > 0 && placed.left + placed.width <= input.0);
            prop_assert!(placed.height > 0 && placed.top + placed.height <= input.1);
            prop_assert!(placed.width == input.0 || placed.height == input.1);
            if fit == Fit::Letterbox {
                // To half a pixel on each side; a side is a pixel at least.
                let wide = f64::from(placed.height) * f64::from(picture.0) / f64::from(picture.1);
                let per_pixel = (f64::from(picture.0) / f64::from(picture.1)).max(1.0);
                prop_assert!((wide - f64::from(placed.width)).abs() <= per_pixel + 1.0);
            }
        }

        #[test]
        fn any_numbers_stay_within_the_picture((fit, picture, input) in places(), corners: [f64; 4]) {
            if let Some(shares) = Placement::new(fit, picture, input).to_picture(corners) {
                prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            }
        }
    }

    fn places() -> impl Strategy<Value = (Fit, (u32, u32), (u32, u32))> {
        let fit = prop_oneof![Just(Fit::Letterbox), Just(Fit::Stretch)];
        (fit, (1..5000_u32, 1..5000_u32), (1..1300_u32, 1..1300_u32))
    }
}
