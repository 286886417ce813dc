//! A server that says what it was told to say, byte by byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Makes the bytes of a reply of the request that it answers.
type Write = dyn FnOnce(&str) -> Vec<u8> + Send;

/// One reply: what is written, then how long the connection stays open without a word.
pub(crate) struct Reply {
    write: Box<Write>,
    silence: Duration,
}

impl Reply {
    pub(crate) fn status(status: &str, headers: &str, body: &Value) -> Self {
        Self::bytes(status, headers, body.to_string().as_bytes())
    }

    /// A body that is this text.
    pub(crate) fn text(body: &str) -> Self {
        Self::bytes("200 OK", "", body.as_bytes())
    }

    /// A stream of these events.
    pub(crate) fn events(events: &[Value]) -> Self {
        let lines = events.iter().map(|event| format!("data: {event}\r\n\r\n"));
        Self::text(&lines.collect::<String>())
    }

    pub(crate) fn bytes(status: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
        let bytes = [head.as_bytes(), body].concat();
        Self { write: Box::new(|_| bytes), silence: Duration::ZERO }
    }

    /// The reply that this makes of the request's body.
    pub(crate) fn to(reply: impl FnOnce(&str) -> Self + Send + 'static) -> Self {
        let write = |request: &str| {
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            (reply(body).write)(request)
        };
        Self { write: Box::new(write), silence: Duration::ZERO }
    }

    pub(crate) fn then_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }
}

/// A loopback server: the replies in order, and the requests so far.
pub(crate) struct Fake {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = requests.clone();
        tokio::spawn(async move {
            for reply in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = request(&mut stream).await;
                let bytes = (reply.write)(&request);
                heard.lock().unwrap().push(request);
                stream.write_all(&bytes).await.unwrap();
                tokio::time::sleep(reply.silence).await;
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Head and body of a request.
async fn request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request ended early: {text}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}
