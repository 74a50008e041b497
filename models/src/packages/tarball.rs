//! Files out of a tar archive, as npm packs them: POSIX's `ustar`, blocks of 512 bytes.

use anyhow::{Context, bail, ensure};
use std::io::Read;

const BLOCK: usize = 512;
/// Of a file that is looked for: more is no model's.
const LARGEST: u64 = 4 << 30;

/// The file of that path below the archive's one folder, which is `package` in most packages. `None`: there is none.
///
/// # Errors
/// It cannot be read, or is no such archive.
pub fn find(mut archive: impl Read, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        let mut header = [0; BLOCK];
        archive.read_exact(&mut header).context("it ends too early")?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        ensure!(sum(&header) == octal(&header[148..156])?, "it is no tar archive, or damaged");
        let size = octal(&header[124..136])?;
        let is_file = matches!(header[156], b'0' | 0);
        let name = name(&header)?;
        if is_file && name.split_once('/').is_some_and(|(_, below)| below == path) {
            ensure!(size <= LARGEST, "its file {path} has {size} bytes");
            let mut bytes = vec![];
            archive.take(size).read_to_end(&mut bytes)?;
            ensure!(bytes.len() as u64 == size, "it ends within {path}");
            return Ok(Some(bytes));
        }
        let padded = size.next_multiple_of(BLOCK as u64);
        let passed = std::io::copy(&mut archive.by_ref().take(padded), &mut std::io::sink())?;
        ensure!(passed == padded, "it ends within {name}");
    }
}

/// Long paths are told in two parts.
fn name(header: &[u8; BLOCK]) -> anyhow::Result<String> {
    let text = |field: &[u8]| {
        let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        std::str::from_utf8(&field[..length]).map(str::to_owned).context("a name in it is no text")
    };
    let last = text(&header[..100])?;
    let is_ustar = &header[257..262] == b"ustar";
    let first = if is_ustar { text(&header[345..500])? } else { String::new() };
    Ok(if first.is_empty() { last } else { format!("{first}/{last}") })
}

/// Digits, then blanks or zero bytes.
fn octal(field: &[u8]) -> anyhow::Result<u64> {
    let text = std::str::from_utf8(field).unwrap_or("?").trim_matches([' ', '\0']);
    match u64::from_str_radix(text, 8) {
        Ok(number) if !text.starts_with('+') && number < 1 << 40 => Ok(number),
        _ => bail!("it is no tar archive, or damaged: {text:?} is no number"),
    }
}

/// Of the header's bytes, with blanks in place of the checksum.
fn sum(header: &[u8; BLOCK]) -> u64 {
    header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Command, Stdio};
    use std::sync::LazyLock;

    /// What tar itself makes of files.
    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let mut tar = Command::new("tar");
        tar.args(["--format=ustar", "-cf", "-", "package"]).current_dir(&folder).stderr(Stdio::inherit());
        let output = tar.output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn files_are_found_as_tar_packed_them() {
        let long = format!("package/{}/{}", "d".repeat(90), "f".repeat(90));
        let large = vec![7; 1500];
        let files: [(&str, &[u8]); 4] =
            [("package/a", b"one"), ("package/below/a", &large), ("package/empty", b""), (&long, b"far")];
        let archive = packed(&files);
        for (name, bytes) in files {
            assert_eq!(find(&archive[..], &name["package/".len()..]).unwrap().as_deref(), Some(bytes), "{name}");
        }
        for absent in ["below", "package/a", "", "b"] {
            assert_eq!(find(&archive[..], absent).unwrap(), None, "{absent}");
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_or_altered_is_an_error_or_another_archive(cut in 0..4000_usize, at in 0..2048_usize, byte: u8) {
            static WHOLE: LazyLock<Vec<u8>> =
                LazyLock::new(|| packed(&[("package/a", &[1; 600]), ("package/b", &[2; 600])]));
            // The folder, two files and the first block of the end are 4096 bytes.
            prop_assert!(find(&WHOLE[..cut], "c").is_err());
            let mut other = WHOLE.clone();
            other[at] = byte;
            if let Ok(Some(bytes)) = find(&other[..], "b") {
                prop_assert!(bytes.len() <= 600);
            }
        }
    }
}
