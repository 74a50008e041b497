//! Several pictures in one run of a model: what it tells of all of them, dealt out.

use crate::runtime::Tensor;
use anyhow::{Context, ensure};
use std::collections::BTreeMap;

/// Pictures in one run at most, since the working memory grows with each. On a processor a picture takes as long among
/// others as alone; an accelerator waits less.
pub const AT_ONCE: usize = 8;

/// Outputs by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Whether the outputs of those names, of a run on two pictures, are one for each. Two dimensions are not enough to see
/// that: they are the boxes that were found, of whichever picture.
pub fn is_each(names: &[&str], of_one: &Tensors, of_two: &Tensors) -> bool {
    let is_each = |name: &&str| match (of_one.get(*name), of_two.get(*name)) {
        (Some(one), Some(two)) => match (&one.shape[..], &two.shape[..]) {
            ([1, each @ ..], [2, of_two @ ..]) => each.len() >= 2 && each == of_two,
            _ => false,
        },
        _ => false,
    };
    names.iter().all(is_each)
}

/// The outputs of those names for each of so many pictures, as a run on it alone tells them.
///
/// # Errors
/// They are not of so many pictures.
pub fn each(names: &[&str], tensors: Tensors, count: usize) -> anyhow::Result<Vec<Tensors>> {
    if count == 1 {
        return Ok(vec![tensors]);
    }
    let mut all = vec![Tensors::new(); count];
    for name in names {
        let Tensor { shape, values } = tensors.get(*name).with_context(|| format!("it does not tell `{name}`"))?;
        ensure!(
            shape.len() >= 3 && shape[0] == count,
            "the output `{name}` of {count} pictures has the shape {shape:?}"
        );
        let shape = [&[1], &shape[1..]].concat();
        let width = values.len() / count;
        for (at, own) in all.iter_mut().enumerate() {
            let values = values[at * width..][..width].to_vec();
            own.insert((*name).to_owned(), Tensor { shape: shape.clone(), values });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(shape: &[usize], values: Vec<f32>) -> Tensors {
        Tensors::from([("a".to_owned(), Tensor { shape: shape.to_vec(), values })])
    }

    #[test]
    fn outputs_are_one_for_each_if_only_their_number_grows() {
        let is = |one: &[usize], two: &[usize]| is_each(&["a"], &told(one, vec![]), &told(two, vec![]));
        assert!(is(&[1, 5, 4], &[2, 5, 4]));
        assert!(!is(&[1, 5, 4], &[1, 10, 4]));
        assert!(!is(&[1, 5, 4], &[2, 4, 5]));
        // One box of one picture and two of two.
        assert!(!is(&[1, 6], &[2, 6]));
        assert!(!is(&[], &[]));
        assert!(!is_each(&["b"], &told(&[1, 5, 4], vec![]), &told(&[2, 5, 4], vec![])));
    }

    proptest! {
        #[test]
        fn what_is_dealt_out_is_all_there_was(
            (count, boxes, width) in (1..5_usize, 0..4_usize, 1..4_usize), first in any::<u16>()
        ) {
            let values: Vec<f32> = (0..count * boxes * width).map(|n| n as f32 + f32::from(first)).collect();
            let dealt = each(&["a"], told(&[count, boxes, width], values.clone()), count).unwrap();
            prop_assert_eq!(dealt.len(), count);
            prop_assert!(dealt.iter().all(|own| own["a"].shape == [1, boxes, width]));
            let together: Vec<f32> = dealt.iter().flat_map(|own| own["a"].values.clone()).collect();
            prop_assert_eq!(together, values);
        }
    }

    #[test]
    fn outputs_of_another_number_are_refused() {
        for shape in [&[3, 6][..], &[2, 3, 6], &[]] {
            assert!(each(&["a"], told(shape, vec![0.0; 36]), 3).is_err(), "{shape:?}");
        }
        assert!(each(&["b"], told(&[2, 1, 1], vec![0.0; 2]), 2).is_err());
    }
}
