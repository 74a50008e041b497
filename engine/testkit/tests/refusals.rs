//! What is refused, in the words that people read: `tests/refusals/NAME.yaml` gives `NAME.txt`. `BLESS=1` rewrites.

use jarvis_plan::{SourceInfo, compile};
use jarvis_spec::{SourceText, parse_pipeline};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn findings(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("the folder was just listed");
    let name = path.file_name().expect("a file has a name");
    let found = parse_pipeline(SourceText::new(name, text), &|_| None).and_then(|pipeline| {
        let infos: HashMap<String, SourceInfo> = pipeline
            .sources
            .iter()
            .filter_map(|s| {
                Some((
                    format!("{}.{}", pipeline.name.value, s.name.value),
                    SourceInfo { schema: s.schema.as_ref()?.value.clone(), append_only: false },
                ))
            })
            .collect();
        compile(&[pipeline], &infos)
    });
    match found {
        Ok(_) => "nothing is refused\n".into(),
        Err(found) => format!("{found}\n"),
    }
}

#[test]
fn refusals_say_what_is_wrong_where_and_what_to_write_instead() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refusals");
    let entries = std::fs::read_dir(&folder).expect("the folder stands beside this file");
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = vec![];
    for file in files {
        let found = findings(&file);
        let golden = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &found).expect("the folder can be written");
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("{}:\n{found}\nand not\n{wanted}", file.display()));
        }
        if found.contains("nothing is refused") {
            wrong.push(format!("{} is not refused", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
