//! Anchors on grids: the default boxes of W. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 2.2.
//!
//! Of m grids, the k-th has anchors of the scale `s_k = s_1 + (s_m - s_1) (k - 1) / (m - 1)` around the centre of each cell:
//! for a ratio a they are `s_k √a` wide and `s_k / √a` high, and one more is a square of the scale `√(s_k s_{k+1})`, where
//! `s_{m+1}` is 1. The first grid, which has most cells, has three a cell only in TensorFlow's detectors: a square of 0.1, and
//! the ratios 2 and 1/2.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// Cells each way of a grid.
const FINEST: u32 = 128;
const MOST_GRIDS: usize = 16;
const MOST_RATIOS: usize = 16;
/// The square in the cells of a first grid of few anchors.
const SMALLEST: f64 = 0.1;

/// Where a detector's anchors lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grids {
    /// How many cells each has across, and as many down, from the finest.
    pub cells: Vec<u32>,
    /// Of the first grid and of the last, as shares of the input.
    pub scales: [f64; 2],
    /// Width over height, in the model's order.
    #[serde(default = "ratios")]
    pub ratios: Vec<f64>,
    /// The first grid has three anchors a cell only.
    #[serde(default = "yes")]
    pub few_in_first: bool,
}

fn ratios() -> Vec<f64> {
    vec![1.0, 2.0, 0.5, 3.0, 0.3333]
}

fn yes() -> bool {
    true
}

impl Grids {
    /// # Errors
    /// It says what cannot be.
    pub fn check(&self) -> anyhow::Result<()> {
        let is_fine =
            (1..=MOST_GRIDS).contains(&self.cells.len()) && self.cells.iter().all(|n| (1..=FINEST).contains(n));
        ensure!(is_fine, "`output.grids.cells` are 1 to {MOST_GRIDS} grids of 1 to {FINEST} cells each way");
        let is_fine = self.scales.iter().all(|scale| *scale > 0.0 && *scale <= 1.0);
        ensure!(is_fine, "`output.grids.scales` are shares of the input: more than 0, and at most 1");
        let is_fine =
            self.ratios.len() <= MOST_RATIOS && self.ratios.iter().all(|ratio| (0.01..=100.0).contains(ratio));
        ensure!(is_fine, "`output.grids.ratios` are at most {MOST_RATIOS}, each of 0.01 to 100");
        Ok(())
    }

    /// Centre across and down, width and height, as shares of the input: grid by grid, row by row, cell by cell.
    pub fn anchors(&self) -> Vec<[f64; 4]> {
        let mut anchors = vec![];
        for (at, cells) in self.cells.iter().enumerate() {
            let sizes = self.sizes(at);
            let centre = |cell: u32| (f64::from(cell) + 0.5) / f64::from(*cells);
            for (y, x) in (0..*cells).flat_map(|y| (0..*cells).map(move |x| (y, x))) {
                anchors.extend(sizes.iter().map(|[width, height]| [centre(x), centre(y), *width, *height]));
            }
        }
        anchors
    }

    /// Of the anchors in each cell of a grid.
    fn sizes(&self, at: usize) -> Vec<[f64; 2]> {
        let size = |scale: f64, ratio: f64| [scale * ratio.sqrt(), scale / ratio.sqrt()];
        let scale = self.scale(at);
        if at == 0 && self.few_in_first {
            return vec![size(SMALLEST, 1.0), size(scale, 2.0), size(scale, 0.5)];
        }
        let between = (scale * self.scale(at + 1)).sqrt();
        self.ratios.iter().map(|ratio| size(scale, *ratio)).chain([size(between, 1.0)]).collect()
    }

    fn scale(&self, at: usize) -> f64 {
        let [first, last] = self.scales;
        match self.cells.len() {
            count if at >= count => 1.0,
            1 => first,
            count => first + (last - first) * at as f64 / (count - 1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usual() -> Grids {
        Grids { cells: vec![19, 10, 5, 3, 2, 1], scales: [0.2, 0.95], ratios: ratios(), few_in_first: true }
    }

    #[test]
    fn the_anchors_of_300_pixels_are_1917() {
        let anchors = usual().anchors();
        assert_eq!(anchors.len(), 19 * 19 * 3 + 6 * (100 + 25 + 9 + 4 + 1));
        let near = |at: usize, expected: [f64; 4]| {
            let is_near = anchors[at].iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4);
            assert!(is_near, "{at}: {:?}", anchors[at]);
        };
        near(0, [0.02632, 0.02632, 0.1, 0.1]);
        near(4, [0.07895, 0.02632, 0.28284, 0.14142]);
        // The second grid begins: scale 0.35, and √(0.35 · 0.5).
        near(1083, [0.05, 0.05, 0.35, 0.35]);
        near(1087, [0.05, 0.05, 0.35 * 0.57732, 0.35 / 0.57732]);
        near(1088, [0.05, 0.05, 0.41833, 0.41833]);
        near(1916, [0.5, 0.5, 0.97468, 0.97468]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut Grids)| {
            let mut grids = usual();
            change(&mut grids);
            grids.check().unwrap_err().to_string()
        };
        usual().check().unwrap();
        assert!(refused(|grids| grids.cells.clear()).contains("`output.grids.cells`"));
        assert!(refused(|grids| grids.cells[0] = 4_000_000_000).contains("`output.grids.cells`"));
        assert!(refused(|grids| grids.scales[1] = f64::NAN).contains("`output.grids.scales`"));
        assert!(refused(|grids| grids.ratios[1] = 0.0).contains("`output.grids.ratios`"));
    }

    proptest! {
        #[test]
        fn each_cell_has_the_same_anchors_around_its_centre(
            cells in prop::collection::vec(1..12_u32, 1..5),
            scales in [0.05..1.0, 0.05..1.0],
            ratios in prop::collection::vec(0.1..10.0, 0..5),
            few_in_first: bool,
        ) {
            let grids = Grids { cells: cells.clone(), scales, ratios: ratios.clone(), few_in_first };
            grids.check().unwrap();
            let mut left = &grids.anchors()[..];
            for (at, count) in cells.iter().enumerate() {
                let each = if at == 0 && few_in_first { 3 } else { ratios.len() + 1 };
                let (own, rest) = left.split_at(each * (count * count) as usize);
                left = rest;
                // On average the middle; areas are those of squares, whatever the ratio.
                for axis in [0, 1] {
                    let mean = own.iter().map(|anchor| anchor[axis]).sum::<f64>() / own.len() as f64;
                    prop_assert!((mean - 0.5).abs() < 1e-9);
                }
                for cell in own.chunks(each) {
                    let here: Vec<&[f64]> = cell.iter().map(|anchor| &anchor[2..]).collect();
                    let first: Vec<&[f64]> = own[..each].iter().map(|anchor| &anchor[2..]).collect();
                    prop_assert_eq!(here, first);
                    prop_assert!(cell.iter().all(|anchor| anchor[..2] == cell[0][..2]));
                }
                if !(at == 0 && few_in_first) {
                    let scale = grids.scale(at);
                    for (anchor, ratio) in own.iter().zip(&ratios) {
                        prop_assert!((anchor[2] * anchor[3] - scale * scale).abs() < 1e-9);
                        prop_assert!((anchor[2] / anchor[3] - ratio).abs() < 1e-9);
                    }
                }
            }
            prop_assert!(left.is_empty());
        }
    }
}
