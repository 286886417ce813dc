//! One try: a request, and the stream that answers it, each wait within its limit.

use std::pin::pin;
use std::time::Duration;

use eventsource_stream::{EventStreamError, Eventsource as _};
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Stop};
use super::dialect::Request;
use super::failure::Failure;
use super::model::Model;
use super::secrets::Secrets;

/// Bytes of an answer: longer ones are no summaries.
const ANSWER_BYTES: usize = 16 << 20;
/// Bytes of a reply that is no stream: an error, or what a server says of itself.
const REPLY_BYTES: usize = 4 << 20;

/// A whole answer, and how long its first piece took.
pub(super) struct Heard {
    pub(super) answer: Answer,
    pub(super) first_byte: Duration,
}

impl Model {
    /// Sends a request and reads the stream that answers it.
    pub(super) async fn hear(&self, request: &Request) -> Result<Heard, Failure> {
        let start = Instant::now();
        let sent = &request.body;
        let post = self.client.post(&request.url).body(sent.to_string());
        let response = self.send(post, sent, self.first_byte()).await?;
        let mut first_byte = None;
        let mut answer = Answer::default();
        let mut events = pin!(self.pieces(response).eventsource());
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| match error {
                EventStreamError::Transport(failure) => failure,
                // What these say quotes the answer.
                EventStreamError::Utf8(_) => Failure::protocol("an event stream in UTF-8"),
                EventStreamError::Parser(_) => Failure::protocol("an event stream"),
            })?;
            let first_byte = *first_byte.get_or_insert_with(|| start.elapsed());
            if event.data.trim() == "[DONE]" {
                return self.whole(answer, first_byte, sent);
            }
            let Ok(value) = serde_json::from_str::<Value>(&event.data) else {
                return Err(Failure::protocol("an event that is JSON"));
            };
            if value.get("error").is_some_and(|error| !error.is_null()) {
                return Err(Failure::event(&value, self.secrets(sent, &answer.text)));
            }
            self.dialect.read(&value, &mut answer);
            self.pulses.heard(answer.text.len());
        }
        self.whole(answer, first_byte.unwrap_or_default(), sent)
    }

    /// An answer that came to its end.
    fn whole(
        &self,
        mut answer: Answer,
        first_byte: Duration,
        sent: &Value,
    ) -> Result<Heard, Failure> {
        match &mut answer.stop {
            None => return Err(Failure::cut_short()),
            Some(Stop::Refusal(reason)) => {
                *reason = self.secrets(sent, &answer.text).hide_in(reason);
            }
            Some(_) => {}
        }
        Ok(Heard { answer, first_byte })
    }

    fn secrets<'a>(&'a self, sent: &'a Value, heard: &'a str) -> Secrets<'a> {
        Secrets { key: self.settings.key.as_ref(), sent, heard }
    }

    /// Sends a request with this body, null for none, and reads the JSON that answers it.
    pub(super) async fn json(
        &self,
        request: RequestBuilder,
        sent: &Value,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let response = self.send(request, sent, limit).await?;
        let body = self.body(response, limit).await?;
        serde_json::from_slice(&body).map_err(|_| Failure::protocol("a reply that is JSON"))
    }

    /// Sends a request; a status that is no success is a failure.
    async fn send(
        &self,
        request: RequestBuilder,
        sent: &Value,
        limit: Duration,
    ) -> Result<Response, Failure> {
        let mut request = request.header("content-type", "application/json");
        for (name, value) in self.dialect.headers() {
            request = request.header(*name, *value);
        }
        if let Some((name, value)) = &self.key_header {
            request = request.header(*name, value);
        }
        let response = timeout(limit, request.send()).await;
        let response = response.map_err(|_| Failure::timeout("first byte", limit, false))?;
        let response = response.map_err(|error| self.broken(error, false))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        // What went wrong is known without the words for it.
        let body = self.body(response, limit).await.unwrap_or_default();
        Err(Failure::status(status, &headers, &body, self.secrets(sent, "")))
    }

    async fn body(&self, mut response: Response, limit: Duration) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let chunk = timeout(limit, response.chunk()).await;
            let chunk = chunk.map_err(|_| Failure::timeout("idle", limit, true))?;
            let Some(chunk) = chunk.map_err(|error| self.broken(error, true))? else {
                return Ok(body);
            };
            if body.len() + chunk.len() > REPLY_BYTES {
                return Err(Failure::protocol(format!("a reply of at most {REPLY_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The pieces of a streamed body, each within its limit of time and all within their size.
    fn pieces(
        &self,
        response: Response,
    ) -> impl Stream<Item = Result<impl AsRef<[u8]> + use<>, Failure>> {
        stream::try_unfold((response, 0), move |(mut response, bytes)| async move {
            let begun = bytes > 0;
            let (what, limit) = if begun {
                ("idle", self.settings.limits.idle)
            } else {
                ("first byte", self.first_byte())
            };
            let chunk = timeout(limit, response.chunk()).await;
            let chunk = chunk.map_err(|_| Failure::timeout(what, limit, begun))?;
            let Some(chunk) = chunk.map_err(|error| self.broken(error, begun))? else {
                return Ok(None);
            };
            let bytes = bytes + chunk.len();
            if bytes > ANSWER_BYTES {
                return Err(Failure::protocol(format!(
                    "an answer of at most {ANSWER_BYTES} bytes"
                )));
            }
            Ok(Some((chunk, (response, bytes))))
        })
    }

    fn first_byte(&self) -> Duration {
        self.settings.limits.first_byte
    }

    fn broken(&self, error: reqwest::Error, begun: bool) -> Failure {
        Failure::transport(error, self.settings.limits.connect, begun)
    }
}
