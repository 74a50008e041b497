//! Filaments and how hot they are printed.

/// A kind of filament. Temperatures in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Material {
    pub name: &'static str,
    pub nozzle: f64,
    pub bed: f64,
}

/// From the coolest to the hottest.
pub const MATERIALS: [Material; 4] = [
    Material { name: "PLA", nozzle: 215.0, bed: 60.0 },
    Material { name: "PETG", nozzle: 240.0, bed: 80.0 },
    Material { name: "ASA", nozzle: 255.0, bed: 100.0 },
    Material { name: "PA-CF", nozzle: 275.0, bed: 90.0 },
];

/// Those that leave some room below the ratings of a printer; PLA always does.
pub fn printable(max_nozzle: f64, max_bed: f64) -> Vec<Material> {
    let fits = |m: &&Material| m.nozzle + 15.0 <= max_nozzle && m.bed + 5.0 <= max_bed;
    let found: Vec<Material> = MATERIALS.iter().filter(fits).copied().collect();
    if found.is_empty() { MATERIALS[..1].to_vec() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printer_gets_only_what_it_can_print() {
        let names = |nozzle, bed| printable(nozzle, bed).iter().map(|m| m.name).collect::<Vec<_>>();
        assert_eq!(names(350.0, 120.0), ["PLA", "PETG", "ASA", "PA-CF"]);
        assert_eq!(names(280.0, 100.0), ["PLA", "PETG"]);
        assert_eq!(names(0.0, 0.0), ["PLA"]);
    }
}
