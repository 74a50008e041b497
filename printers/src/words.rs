//! What a printer says, made fit for rows and logs.
//!
//! A printer's words are somebody else's: they can be of any length, hold control characters, or repeat the key that they
//! were given. Every report and every outcome passes through here before it leaves this crate, so a protocol's own
//! folder need not think of it.

use crate::command::What;
use crate::report::{Job, JobId, Report};
use crate::secret::Secret;

/// The longest error, characters.
const SENTENCE: usize = 300;
/// The longest name of a file, a print or a heater, characters. No file system of a printer has longer paths.
const NAME: usize = 1024;
/// The most heaters.
const HEATERS: usize = 64;

/// A sentence: without control characters and secrets, and not longer than people read.
pub(crate) fn sentence(said: &str, secret: Option<&Secret>) -> String {
    plain(said, secret).chars().take(SENTENCE).collect()
}

/// Without control characters and secrets. In this order, for a character that nobody sees may part a secret in two; and
/// before anything is cut, for half a secret is one, too.
fn plain(said: &str, secret: Option<&Secret>) -> String {
    let seen: String = said.chars().filter(|c| !c.is_control()).collect();
    secret.map_or_else(|| seen.clone(), |secret| secret.strike_from(&seen))
}

/// A name: without control characters and secrets, and as it is unless it is longer than any name; then its beginning and
/// a mark of all of it, so that two names stay two.
fn name(said: &str, secret: Option<&Secret>) -> String {
    let said = plain(said, secret);
    if said.chars().count() <= NAME {
        return said;
    }
    // FNV-1a, 64 bits: the same in every build.
    let mark = said
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let beginning: String = said.chars().take(NAME - 17).collect();
    format!("{beginning}~{mark:016x}")
}

/// A report that is fit to be shown.
pub(crate) fn report(mut said: Report, secret: Option<&Secret>) -> Report {
    said.error = said.error.map(|error| sentence(&error, secret));
    let name = |said: &str| name(said, secret);
    said.job =
        said.job.map(|job| Job { id: JobId(name(&job.id.0)), file: name(&job.file), name: name(&job.name), ..job });
    said.tools.truncate(HEATERS);
    for tool in &mut said.tools {
        tool.name = name(&tool.name);
    }
    said
}

/// An outcome that is fit to be shown.
pub(crate) fn what(what: What, secret: Option<&Secret>) -> What {
    let fit = |text: String| sentence(&text, secret);
    match what {
        What::Refused { status, message } => What::Refused { status, message: fit(message) },
        What::NotConfirmed { seen, why } => What::NotConfirmed { seen, why: why.map(fit) },
        What::Unreachable { why } => What::Unreachable { why: fit(why) },
        What::ObserveOnly { why } => What::ObserveOnly { why: fit(why) },
        What::Done { .. } | What::OtherJob { .. } | What::WrongState { .. } | What::Unsupported => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Phase, Temperature};
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_struck_before_the_words_are_cut() {
        let secret = Secret::new("hunter2");
        let said = format!("{}hunter2", "x".repeat(SENTENCE - 4));
        assert!(!sentence(&said, Some(&secret)).contains("hunt"));
    }

    proptest! {
        /// However a secret is parted by characters that nobody sees, and wherever it stands.
        #[test]
        fn no_secret_is_shown(
            secret in "[a-z0-9]{4,12}", parted in prop::collection::vec("[\n\r\u{0}\u{1b}\u{85}]{0,2}", 12),
            before in "[A-Z ]{0,310}", fields in prop::collection::vec(any::<bool>(), 5),
        ) {
            let hidden: String = secret.chars().zip(&parted).flat_map(|(c, gap)| gap.chars().chain([c])).collect();
            let said = |place: usize| if fields[place] { format!("{before}{hidden}") } else { "PLAIN".to_owned() };
            let mut report = Report::online(Phase::Printing);
            report.error = Some(said(0));
            let job = Job { id: JobId(said(1)), name: said(2), file: said(3), size: None, estimated: None, began_by: None };
            report.job = Some(job);
            report.tools = vec![Temperature { name: said(4), actual: None, target: None }];
            let secret = Secret::new(secret);
            let shown = super::report(report, Some(&secret));
            let (job, error) = (shown.job.clone().unwrap(), shown.error.clone().unwrap());
            let beginning = &secret.expose()[..3];
            for text in [&job.id.0, &job.name, &job.file, &shown.tools[0].name, &error] {
                // Of what stands for it nothing else is left when it is cut.
                let text = text.replace("[secret]", "").replace("***", "");
                let rest = text.rsplit_once('[').map_or(text.as_str(), |(text, _)| text);
                prop_assert!(!rest.contains(beginning) && !rest.chars().any(char::is_control), "{:?}", text);
            }
            prop_assert_eq!(super::report(shown.clone(), Some(&secret)), shown);
        }

        #[test]
        fn whatever_is_said_is_bounded(error in ".{0,700}", file in "[a-c]{1020,1100}", heaters in 0_usize..200) {
            let mut said = Report::online(Phase::Printing);
            let id = JobId(format!("{file}#1"));
            said.job = Some(Job { id, name: file.clone(), file, size: None, estimated: None, began_by: None });
            said.error = Some(error);
            let tool = Temperature { name: "t".repeat(2000), actual: None, target: None };
            said.tools = vec![tool; heaters];
            let shown = report(said, None);
            let job = shown.job.clone().unwrap();
            let names = [&job.id.0, &job.file, &job.name];
            prop_assert!(names.iter().all(|name| name.chars().count() <= NAME));
            prop_assert!(shown.error.as_ref().is_some_and(|error| error.chars().count() <= SENTENCE));
            prop_assert!(shown.tools.len() <= HEATERS && shown.tools.iter().all(|tool| tool.name.len() <= NAME));
            // Made fit once, it stays as it is: a command means the print that a report showed.
            prop_assert_eq!(report(shown.clone(), None), shown);
        }

        #[test]
        fn two_long_names_stay_two(common in "[a-c]{1100}", a in "[a-z]{1,9}", b in "[a-z]{1,9}") {
            prop_assume!(a != b);
            prop_assert_ne!(name(&format!("{common}{a}"), None), name(&format!("{common}{b}"), None));
        }
    }
}
