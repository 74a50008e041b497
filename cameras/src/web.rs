//! Cameras over HTTP: MJPEG, or one picture that is asked for again and again. The content type of the reply tells
//! which.

use crate::address::Place;
use crate::digest::Challenge;
use crate::feed::{Feed, Trouble};
use crate::multipart::{LONGEST_PICTURE, Reader, boundary};
use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, redirect};
use std::time::Duration;

const REDIRECTS: usize = 3;
const CONNECTING: Duration = Duration::from_secs(10);

/// Reads until something goes wrong.
pub(crate) async fn read(place: &Place, feed: &Feed) -> Result<(), Trouble> {
    let patience = feed.settings.real_patience();
    let client = Client::builder()
        .connect_timeout(CONNECTING.min(patience))
        .read_timeout(patience)
        .redirect(redirect::Policy::limited(REDIRECTS))
        .danger_accept_invalid_certs(place.is_encrypted() && !feed.settings.verifies_tls())
        // Cameras are on the same network.
        .no_proxy()
        .user_agent("jarvis");
    let client = client.build().map_err(told)?;
    let mut asking = Asking { client, place, challenge: None };
    loop {
        let response = asking.ask().await?;
        let content = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content = content.unwrap_or_default().to_owned();
        let kind = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind.starts_with("multipart/") {
            let boundary = boundary(&content).ok_or_else(|| Trouble::new("the camera's stream names no boundary"))?;
            return stream(response, &boundary, feed).await;
        }
        // Some say nothing, or that it is just bytes: decoding them will show.
        if !kind.is_empty() && !kind.starts_with("image/") && kind != "application/octet-stream" {
            return Err(Trouble::new(format!("the camera sends {kind}, which is neither a picture nor MJPEG")));
        }
        let picture = tokio::time::timeout(patience, body(response)).await;
        let picture = picture.map_err(|_| Trouble::new(format!("a picture was not complete in {patience:?}")))??;
        if feed.opens() {
            feed.put(picture);
        }
        tokio::time::sleep(feed.until_due()).await;
    }
}

/// Asks for the same thing again and again, as the server wants to be asked.
struct Asking<'a> {
    client: Client,
    place: &'a Place,
    challenge: Option<Challenge>,
}

impl Asking<'_> {
    async fn ask(&mut self) -> Result<Response, Trouble> {
        let mut response = self.send().await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.place.user.is_some() {
            // What was asked before, if anything, is no longer valid.
            let headers = response.headers().get_all(WWW_AUTHENTICATE);
            self.challenge = Challenge::parse(headers.iter().filter_map(|header| header.to_str().ok()));
            if self.challenge.is_some() {
                response = self.send().await?;
            }
        }
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED if self.place.user.is_none() => {
                Err(Trouble::new("the camera wants a user name and a password (401)"))
            }
            StatusCode::UNAUTHORIZED => Err(Trouble::new("the camera refuses the user name and password (401)")),
            status => Err(Trouble::new(format!("the camera answered {status}"))),
        }
    }

    async fn send(&mut self) -> Result<Response, Trouble> {
        let mut request = self.client.get(self.place.url.clone());
        if let (Some(challenge), Some(user)) = (&mut self.challenge, &self.place.user) {
            let url = &self.place.url;
            let uri = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
            request = match challenge.digest_answer(user, "GET", &uri) {
                Some(answer) => request.header(AUTHORIZATION, answer),
                None => request.basic_auth(&user.name, Some(&user.password)),
            };
        }
        request.send().await.map_err(told)
    }
}

async fn stream(mut response: Response, boundary: &str, feed: &Feed) -> Result<(), Trouble> {
    let mut reader = Reader::new(boundary);
    while let Some(bytes) = response.chunk().await.map_err(told)? {
        reader.feed(&bytes);
        while let Some(picture) = reader.next().map_err(|broken| Trouble::new(broken.to_string()))? {
            if feed.opens() {
                feed.put(picture);
            }
        }
        if reader.is_over() {
            break;
        }
    }
    Err(Trouble::new("the camera has ended the stream"))
}

async fn body(mut response: Response) -> Result<Bytes, Trouble> {
    let mut picture = BytesMut::new();
    while let Some(bytes) = response.chunk().await.map_err(told)? {
        if picture.len() + bytes.len() > LONGEST_PICTURE {
            return Err(Trouble::new(format!("the picture is longer than {LONGEST_PICTURE} bytes")));
        }
        picture.extend_from_slice(&bytes);
    }
    Ok(picture.freeze())
}

/// An error with all of its causes, without the address.
fn told(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        cause = error.source();
    }
    Trouble::new(text)
}
