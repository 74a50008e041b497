//! Asks a running instance over HTTP.
//!
//! The requests are HTTP/1.0, whose answers end with the connection: one that goes on for ever can be read as it comes.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the first word may take.
const PATIENCE: Duration = Duration::from_secs(15);
const CONNECTING: Duration = Duration::from_secs(2);

/// Where the instance is: an argument that several commands share.
#[derive(Clone, Debug, clap::Args)]
pub struct InstanceArgument {
    /// Where jarvis runs: the address of its `--listen`
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "JARVIS_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:7470"
    )]
    pub at: String,
}

/// An instance that answers.
pub struct Client {
    address: SocketAddr,
}

/// What came back, as far as it has been read.
pub struct Answer {
    pub body: BufReader<TcpStream>,
}

impl InstanceArgument {
    /// # Errors
    /// The text is no address.
    pub fn client(&self) -> anyhow::Result<Client> {
        let found = self.at.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let Some(mut address) = found else {
            bail!("{} is not an address: write HOST:PORT, such as 127.0.0.1:7470", self.at)
        };
        if address.ip().is_unspecified() {
            // It listens everywhere: here, too.
            address.set_ip(if address.is_ipv4() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                IpAddr::V6(Ipv6Addr::LOCALHOST)
            });
        }
        Ok(Client { address })
    }
}

impl Client {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether anything answers there.
    pub fn answers(&self) -> bool {
        self.get("/healthz").is_ok()
    }

    /// # Errors
    /// Nothing answers, or not as asked: the message of the instance.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.request("GET", path, "*/*", b"")
    }

    /// # Errors
    /// As [`Client::get`], or the answer is not the JSON that was expected.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.get(path)?.all()?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("{} answers, but not as a jarvis of this version", self.address))
    }

    /// # Errors
    /// As [`Client::get`].
    pub fn post(&self, path: &str, accept: &str, body: &[u8]) -> anyhow::Result<Answer> {
        self.request("POST", path, accept, body)
    }

    fn request(&self, method: &str, path: &str, accept: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let address = self.address;
        let mut stream = TcpStream::connect_timeout(&address, CONNECTING).with_context(|| {
            format!("no jarvis answers at {address}: start one with `jarvis run`, or say with --at where it listens")
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut reader = BufReader::new(stream);
        let status = head_of(&mut reader).with_context(|| format!("{address} does not answer as a jarvis does"))?;
        let mut answer = Answer { body: reader };
        if status != 200 {
            let text = String::from_utf8_lossy(&answer.all()?).trim().to_owned();
            bail!("{}", if text.is_empty() { format!("{address} answers with status {status}") } else { text });
        }
        Ok(answer)
    }
}

/// Reads up to the body; gives the status.
fn head_of(reader: &mut impl BufRead) -> anyhow::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.context("this is not HTTP")?;
    loop {
        line.clear();
        // The lines of a head are short.
        if reader.by_ref().take(64 * 1024).read_line(&mut line)? == 0 {
            bail!("the answer is cut off");
        }
        if line == "\r\n" || line == "\n" {
            return Ok(status);
        }
    }
}

impl Answer {
    /// The whole body.
    ///
    /// # Errors
    /// The connection broke.
    pub fn all(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.body.read_to_end(&mut all)?;
        Ok(all)
    }

    /// The lines of the body as they come, however long that takes.
    ///
    /// # Errors
    /// The connection cannot be told to wait.
    pub fn lines(self) -> anyhow::Result<impl Iterator<Item = std::io::Result<String>>> {
        self.body.get_ref().set_read_timeout(None)?;
        Ok(self.body.lines())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_follows_the_head() {
        let mut answer = "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nok\n".as_bytes();
        assert_eq!(head_of(&mut answer).unwrap(), 200);
        assert_eq!(answer, b"ok\n");
    }

    #[test]
    fn other_protocols_and_cut_heads_are_errors() {
        assert!(head_of(&mut "SSH-2.0-OpenSSH_9.2\r\n".as_bytes()).is_err());
        assert!(head_of(&mut "HTTP/1.1 200 OK\r\nserver: x\r\n".as_bytes()).is_err());
    }

    #[test]
    fn everywhere_is_also_here() {
        let client = InstanceArgument { at: "0.0.0.0:7470".to_owned() }.client().unwrap();
        assert_eq!(client.address(), SocketAddr::from(([127, 0, 0, 1], 7470)));
    }
}
