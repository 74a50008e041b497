//! Files out of packages of registries. Each registry is asked by its own client, so what a user has set up there counts:
//! mirrors, proxies, names and passwords.

mod tarball;

use crate::catalog::{Origin, Package, platform};
use anyhow::{Context, bail};
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python whose wheels are fetched, so that every machine of a platform gets the same.
const PYTHON: &str = "3.11";

/// A package could not be had: the registry's client is not on this machine, or could not get it. Nothing is wrong with
/// what has been had, and another time it may be. It stands among the causes of an error, where `is` finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// What an origin means of its package, which is put into an empty folder.
///
/// # Errors
/// The registry's client is not on this machine or cannot get the package, which is [`Unavailable`]; or that holds no such
/// file or part.
pub fn fetch(origin: &Origin, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = match &origin.package {
        Package::Pypi(package) => out_of_wheel(package, &origin.file, folder),
        Package::Npm(package) => out_of_tarball(Command::new("npm"), package, &origin.file, folder),
    }?;
    part(bytes, origin)
}

/// The bytes of a file that are meant.
fn part(mut bytes: Vec<u8>, origin: &Origin) -> anyhow::Result<Vec<u8>> {
    let Some([from, to]) = origin.bytes else { return Ok(bytes) };
    let ends = usize::try_from(from).ok().zip(usize::try_from(to).ok()).filter(|(_, to)| *to <= bytes.len());
    let (from, to) = ends.with_context(|| format!("there is no {}: it has {} bytes", origin.place(), bytes.len()))?;
    bytes.truncate(to);
    bytes.drain(..from);
    Ok(bytes)
}

fn out_of_wheel(package: &str, pattern: &str, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON]);
    // Python takes modules from the current folder.
    pip.arg("--dest").arg(".").arg(package).current_dir(folder);
    let unavailable = |why: &str| Unavailable(format!("packages of PyPI are fetched with {why}"));
    let output = pip.output().with_context(|| unavailable("python3, which cannot be started"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        if said.contains("No module named pip") {
            bail!(unavailable("pip, which python3 does not have (on Debian: python3-pip)"));
        }
        bail!(Unavailable(format!("pip could not download {package}:\n{said}")));
    }
    let wheel = ending(folder, "whl")?.with_context(|| format!("{package} has no wheel for {}", platform()))?;
    let mut archive = zip::ZipArchive::new(fs::File::open(&wheel)?)?;
    let matching = |name: &str| match pattern.split_once('*') {
        None => name == pattern,
        // Beside the library may stand those of other processors' makers.
        Some((before, after)) => name.starts_with(before) && name.ends_with(after) && !name.contains("providers"),
    };
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let name = names.into_iter().find(|name| matching(name));
    let name = name.with_context(|| format!("{package} holds no {pattern} for {}", platform()))?;
    let mut bytes = vec![];
    archive.by_name(&name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn out_of_tarball(mut npm: Command, package: &str, file: &str, folder: &Path) -> anyhow::Result<Vec<u8>> {
    // Nothing of the package is run. What npm has to say besides errors is about itself.
    npm.args(["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", "."]).arg(package);
    let unavailable = |why: &str| Unavailable(format!("packages of npm are fetched with npm, which {why}"));
    let output = npm.current_dir(folder).output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => unavailable("is not on this machine (on Debian: npm)").into(),
        _ => anyhow::Error::new(error).context(unavailable("cannot be started")),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(Unavailable(format!("npm could not fetch {package}:\n{}", said.trim())));
    }
    let packed = ending(folder, "tgz")?.with_context(|| format!("npm fetched no package for {package}"))?;
    let unpacked = flate2::read::GzDecoder::new(fs::File::open(&packed)?);
    let bytes = tarball::find(unpacked, file).with_context(|| format!("the package {package}"))?;
    bytes.with_context(|| format!("{package} holds no {file}"))
}

/// The file of a folder whose name ends so.
fn ending(folder: &Path, ending: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut files = fs::read_dir(folder)?.filter_map(|file| Some(file.ok()?.path()));
    Ok(files.find(|path| path.extension().is_some_and(|end| end == ending)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::JoinHandle;

    /// A registry with one package, `cups@1.0.0`, in which `package/cup` says "tea"; it answers until it is dropped.
    struct Registry {
        address: SocketAddr,
        server: Option<JoinHandle<()>>,
    }

    impl Registry {
        fn serve() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("package")).unwrap();
            fs::write(folder.path().join("package/cup"), "tea").unwrap();
            fs::write(folder.path().join("package/package.json"), r#"{"name": "cups", "version": "1.0.0"}"#).unwrap();
            let mut tar = Command::new("tar");
            let tarball = tar.args(["-czf", "-", "package"]).current_dir(&folder).output().unwrap().stdout;
            let server = std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if answer(&mut stream.unwrap(), address, &tarball).is_none() {
                        return;
                    }
                }
            });
            Registry { address, server: Some(server) }
        }

        /// npm, whose user has set up this registry.
        fn npm(&self) -> Command {
            let mut npm = Command::new("npm");
            npm.env("npm_config_registry", format!("http://{}/", self.address)).env("npm_config_fetch_retries", "0");
            npm
        }
    }

    impl Drop for Registry {
        fn drop(&mut self) {
            drop(TcpStream::connect(self.address).and_then(|mut stream| stream.write_all(b"END / HTTP/1.1\r\n\r\n")));
            self.server.take().map(JoinHandle::join);
        }
    }

    /// `None`: it is to end.
    fn answer(stream: &mut TcpStream, address: SocketAddr, tarball: &[u8]) -> Option<()> {
        let lines: Vec<String> =
            BufReader::new(&*stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let request = lines.first().map_or("", String::as_str);
        let url = format!("http://{address}/cups.tgz");
        let (status, body) = match request.split(' ').collect::<Vec<_>>()[..] {
            ["END", ..] => return None,
            ["GET", "/cups", ..] => {
                let version = format!(r#"{{"name": "cups", "version": "1.0.0", "dist": {{"tarball": "{url}"}}}}"#);
                ("200 OK", format!(r#"{{"name": "cups", "versions": {{"1.0.0": {version}}}}}"#).into_bytes())
            }
            ["GET", "/cups.tgz", ..] => ("200 OK", tarball.to_vec()),
            _ => ("404 Not Found", b"{}".to_vec()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // Whoever hangs up has what it wants.
        drop(stream.write_all(&[head.into_bytes(), body].concat()));
        Some(())
    }

    #[test]
    fn npm_fetches_from_the_registry_that_the_user_has_set_up() {
        if Command::new("npm").arg("--version").output().is_err() {
            eprintln!("SKIPPED: npm is not on this machine");
            return;
        }
        let registry = Registry::serve();
        let fetched = |package: &str, file: &str| {
            let folder = tempfile::tempdir().unwrap();
            let mut npm = registry.npm();
            npm.env("npm_config_cache", folder.path().join("cache"));
            out_of_tarball(npm, package, file, folder.path())
        };
        assert_eq!(fetched("cups@1.0.0", "cup").unwrap(), b"tea");
        // As the store has it.
        let is_unavailable = |error: anyhow::Error| error.context("cups cannot be fetched").is::<Unavailable>();
        let error = fetched("cups@1.0.0", "saucer").unwrap_err();
        assert_eq!(error.to_string(), "cups@1.0.0 holds no saucer");
        assert!(!is_unavailable(error), "what has been fetched and is wrong can be had");
        for (absent, why) in [("cups@2.0.0", "No matching version"), ("plates@1.0.0", "404")] {
            let error = fetched(absent, "cup").unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&format!("npm could not fetch {absent}:\n")) && said.contains(why), "{said}");
            assert!(is_unavailable(error));
        }
    }

    #[test]
    fn a_missing_npm_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let npm = Command::new(folder.path().join("npm"));
        let error = out_of_tarball(npm, "cups@1.0.0", "cup", folder.path()).unwrap_err();
        assert!(error.to_string().contains("npm, which is not on this machine"), "{error}");
        assert!(error.is::<Unavailable>());
        // One that cannot be started has its reason beside.
        let error = out_of_tarball(Command::new(folder.path()), "cups@1.0.0", "cup", folder.path()).unwrap_err();
        assert!(error.is::<Unavailable>() && error.is::<std::io::Error>(), "{error:#}");
    }

    #[test]
    fn a_part_is_the_bytes_that_are_meant() {
        let origin =
            |bytes| Origin { package: Package::Npm("a@1".to_owned()), file: "a".to_owned(), bytes, sha256: None };
        let of = |bytes| part(b"012345".to_vec(), &origin(bytes));
        assert_eq!(of(None).unwrap(), b"012345");
        assert_eq!(of(Some([0, 6])).unwrap(), b"012345");
        assert_eq!(of(Some([2, 4])).unwrap(), b"23");
        assert_eq!(of(Some([2, 7])).unwrap_err().to_string(), "there is no a, bytes 2 to 7: it has 6 bytes");
        assert!(of(Some([2, u64::MAX])).is_err());
    }
}
