//! The little linear algebra that a judge needs: symmetric matrices of a few hundred rows.

use anyhow::{Context, ensure};

/// A square matrix, row-major.
#[derive(Clone, Debug)]
pub struct Square {
    pub size: usize,
    pub values: Vec<f64>,
}

impl Square {
    pub fn from_fn(size: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..size * size).map(|at| value(at / size, at % size)).collect();
        Square { size, values }
    }
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    /// The inverse of a symmetric, positive definite matrix, by its Cholesky factor.
    ///
    /// # Errors
    /// It is not positive definite.
    pub fn inverse(&self) -> anyhow::Result<Square> {
        let n = self.size;
        let mut lower = vec![0.0; n * n];
        for row in 0..n {
            for column in 0..=row {
                let dot: f64 = (0..column).map(|k| lower[row * n + k] * lower[column * n + k]).sum();
                let rest = self.at(row, column) - dot;
                if row == column {
                    ensure!(rest > 0.0, "the matrix is not positive definite");
                    lower[row * n + row] = rest.sqrt();
                } else {
                    lower[row * n + column] = rest / lower[column * n + column];
                }
            }
        }
        let mut inverse = vec![0.0; n * n];
        for unit in 0..n {
            let mut x = vec![0.0; n];
            for row in 0..n {
                let known: f64 = (0..row).map(|k| lower[row * n + k] * x[k]).sum();
                x[row] = (f64::from(u8::from(row == unit)) - known) / lower[row * n + row];
            }
            for row in (0..n).rev() {
                let known: f64 = (row + 1..n).map(|k| lower[k * n + row] * x[k]).sum();
                x[row] = (x[row] - known) / lower[row * n + row];
            }
            for row in 0..n {
                inverse[row * n + unit] = x[row];
            }
        }
        Ok(Square { size: n, values: inverse })
    }

    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size.max(1)).map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
    }

    /// The rows and columns of a few indices.
    pub fn part(&self, of: &[usize]) -> Square {
        Square::from_fn(of.len(), |row, column| self.at(of[row], of[column]))
    }
}

/// # Errors
/// There are no values.
pub fn mean(values: &[f64]) -> anyhow::Result<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then_some(mean).context("there is nothing to average")
}

/// Around the mean.
pub fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_changes_nothing() {
        let matrix = Square::from_fn(5, |r, c| 1.0 / (1.0 + (r + c) as f64) + f64::from(u8::from(r == c)));
        let inverse = matrix.inverse().unwrap();
        for unit in 0..5 {
            let column: Vec<f64> = (0..5).map(|row| inverse.at(row, unit)).collect();
            for (row, value) in matrix.times(&column).into_iter().enumerate() {
                assert!((value - f64::from(u8::from(row == unit))).abs() < 1e-9);
            }
        }
        assert!(Square::from_fn(2, |_, _| 1.0).inverse().is_err());
    }
}
