//! A folder of pictures, which stands for a camera: in order of names, at the rate that is kept.
//!
//! Nothing is live here, so no picture is lost: a slow receiver makes it slower.

use crate::feed::{Feed, Trouble};
use crate::multipart::LONGEST_PICTURE;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// Whether a file is a picture, by its name.
pub(crate) fn is_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// Shows the pictures of a folder, or a single one; returns at their end.
pub(crate) async fn show(path: &Path, feed: &Feed) -> Result<(), Trouble> {
    let told = |error: io::Error| Trouble::new(format!("{} cannot be read: {error}", path.display()));
    let pictures = list(path).await.map_err(told)?;
    if pictures.is_empty() {
        return Err(Trouble::new(format!("{} has no pictures ({})", path.display(), ENDINGS.join(", "))));
    }
    let mut unread = None;
    let mut is_shown = false;
    for picture in pictures {
        let bytes = match read(&picture).await {
            Ok(bytes) => bytes,
            Err(error) => {
                // The others are worth looking at all the same.
                tracing::warn!("{} is left out: {error}", picture.display());
                unread = Some(error);
                continue;
            }
        };
        while !feed.opens() {
            tokio::time::sleep(feed.until_due()).await;
        }
        feed.put_when_empty(bytes.into()).await;
        is_shown = true;
    }
    match unread {
        Some(error) if !is_shown => Err(told(error)),
        _ => Ok(()),
    }
}

async fn read(picture: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    let file = tokio::fs::File::open(picture).await?;
    file.take(LONGEST_PICTURE as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > LONGEST_PICTURE {
        return Err(io::Error::other(format!("it is longer than {LONGEST_PICTURE} bytes")));
    }
    Ok(bytes)
}

async fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if tokio::fs::metadata(path).await?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut pictures, mut entries) = (vec![], tokio::fs::read_dir(path).await?);
    while let Some(entry) = entries.next_entry().await? {
        if is_picture(&entry.path()) {
            pictures.push(entry.path());
        }
    }
    pictures.sort();
    Ok(pictures)
}
