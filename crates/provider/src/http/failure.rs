//! What a failed try means: which error it is, and whether the next try may do better.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::dialect::text;
use super::overflow::overflow;
use super::secrets::{Secrets, shortened};
use crate::error::{Error, Flaw};

/// Statuses after which the same request may succeed.
const RETRIED: [u16; 9] = [408, 409, 425, 429, 500, 502, 503, 504, 529];

/// Whether a try is worth another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    Yes,
    /// The server seems to be loading the model: worth more tries than other failures.
    Loading,
}

/// A failed try.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) again: Again,
}

impl Failure {
    /// For good.
    pub(super) fn last(error: Error) -> Self {
        Self { error, again: Again::No }
    }

    pub(super) fn protocol(detail: impl Into<String>) -> Self {
        Self::last(Error::BadReply(Flaw::Protocol(detail.into())))
    }

    /// How long the provider wants to be left alone.
    pub(super) fn after(&self) -> Option<Duration> {
        match &self.error {
            Error::RateLimited { after } | Error::Unavailable { after, .. } => *after,
            _ => None,
        }
    }

    /// A limit of time has passed. Before the answer begins, that is worth another try.
    pub(super) fn timeout(what: &'static str, limit: Duration, begun: bool) -> Self {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self { error: Error::Timeout { what, limit_ms }, again: before_the_answer(begun) }
    }

    /// The connection failed. The URL is no part of the text: it may hold what others must not see.
    pub(super) fn transport(error: reqwest::Error, connect: Duration, begun: bool) -> Self {
        if error.is_connect() && error.is_timeout() {
            return Self::timeout("connect", connect, begun);
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let detail = shortened(&cause.to_string());
        Self { error: Error::Unavailable { detail, after: None }, again: before_the_answer(begun) }
    }

    /// The answer stopped without an end.
    pub(super) fn cut_short() -> Self {
        let detail = "the answer was cut short: the connection ended before it".to_owned();
        Self::last(Error::Unavailable { detail, after: None })
    }

    /// A status that is no success, with what the provider says about it.
    pub(super) fn status(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        secrets: Secrets<'_>,
    ) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Self::of(status.as_u16(), retry_after(headers), &body, secrets)
    }

    /// An error that comes as an event of a stream.
    pub(super) fn event(event: &Value, secrets: Secrets<'_>) -> Self {
        let error = object(event);
        let status =
            error.get("code").and_then(Value::as_u64).and_then(|code| code.try_into().ok());
        let typed = match text(error, "/type").unwrap_or_default() {
            "overloaded_error" => 529,
            "rate_limit_error" => 429,
            "authentication_error" => 401,
            "permission_error" => 403,
            "invalid_request_error" => 400,
            _ => 500,
        };
        let mut failure = Self::of(status.unwrap_or(typed), None, event, secrets);
        if !secrets.heard.is_empty() {
            failure.again = Again::No;
        }
        failure
    }

    fn of(status: u16, after: Option<Duration>, body: &Value, secrets: Secrets<'_>) -> Self {
        let error = object(body);
        let message = message(error);
        let detail = match secrets.hide_in(message) {
            words if words.is_empty() => format!("status {status}"),
            words => format!("status {status}: {words}"),
        };
        let spent = text(error, "/code") == Some("insufficient_quota");
        let error = match status {
            401 | 403 => Error::Auth { status },
            // Gemini says so with a status of its own.
            400 if text(error, "/details/0/reason") == Some("API_KEY_INVALID") => {
                Error::Auth { status }
            }
            429 if spent => Error::Refused { detail },
            429 => Error::RateLimited { after },
            _ => match overflow(error, message) {
                Some(overflow) => overflow,
                None if status == 413 => Error::Overflow { prompt: None, limit: None },
                None if status >= 500 || RETRIED.contains(&status) => {
                    Error::Unavailable { detail, after }
                }
                None => Error::Refused { detail },
            },
        };
        let again = match &error {
            Error::Unavailable { .. } if status == 503 => Again::Loading,
            Error::Unavailable { .. } | Error::RateLimited { .. } if RETRIED.contains(&status) => {
                Again::Yes
            }
            _ => Again::No,
        };
        Self { error, again }
    }
}

fn before_the_answer(begun: bool) -> Again {
    if begun { Again::No } else { Again::Yes }
}

/// The object that describes an error: some providers wrap it, some in a list.
fn object(body: &Value) -> &Value {
    let body = body.get(0).unwrap_or(body);
    body.get("error").filter(|error| !error.is_null()).unwrap_or(body)
}

fn message(error: &Value) -> &str {
    error
        .as_str()
        .or_else(|| text(error, "/message"))
        .or_else(|| text(error, "/detail"))
        .unwrap_or_default()
}

/// The wait that the headers ask for: in seconds, or until a date by the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(ms) = header("retry-after-ms").and_then(|ms| ms.trim().parse().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let after = header("retry-after")?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| httpdate::parse_http_date(text).ok();
    Some(date(after)?.duration_since(date(header("date")?)?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::key::Key;

    fn nothing_sent(key: Option<&Key>) -> Secrets<'_> {
        Secrets { key, sent: &Value::Null, heard: "" }
    }

    fn failure(status: u16, body: &Value, headers: &[(&'static str, &str)]) -> Failure {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let key = Key::new("sk-secret");
        let status = StatusCode::from_u16(status).unwrap();
        Failure::status(status, &map, body.to_string().as_bytes(), nothing_sent(Some(&key)))
    }

    #[test]
    fn every_status_has_its_outcome() {
        let outcome = |status| {
            let Failure { error, again } = failure(status, &json!({ "error": "no" }), &[]);
            let name = format!("{error:?}");
            (name.split([' ', '{']).next().unwrap().to_owned(), again)
        };
        for (statuses, name, again) in [
            (&[401, 403][..], "Auth", Again::No),
            (&[400, 404, 405, 422, 302], "Refused", Again::No),
            (&[413], "Overflow", Again::No),
            (&[429], "RateLimited", Again::Yes),
            (&[408, 409, 425, 500, 502, 504, 529], "Unavailable", Again::Yes),
            (&[503], "Unavailable", Again::Loading),
            (&[501, 505], "Unavailable", Again::No),
        ] {
            for status in statuses {
                assert_eq!(outcome(*status), (name.to_owned(), again), "{status}");
            }
        }
    }

    #[test]
    fn the_wait_is_read_in_seconds_and_as_a_date() {
        let after = |headers: &[(&'static str, &str)]| {
            failure(429, &Value::Null, headers).after().map(|after| after.as_millis())
        };
        assert_eq!(after(&[("retry-after", "7")]), Some(7_000));
        assert_eq!(after(&[("retry-after-ms", "250"), ("retry-after", "1")]), Some(250));
        let date = ("retry-after", "Fri, 21 Nov 2025 08:00:30 GMT");
        let now = ("date", "Fri, 21 Nov 2025 08:00:00 GMT");
        assert_eq!(after(&[date, now]), Some(30_000));
        assert_eq!(after(&[("retry-after", "Fri, 21 Nov 2025 07:00:00 GMT"), now]), Some(0));
        assert_eq!(after(&[date]), None);
        assert_eq!(after(&[("retry-after", "soon")]), None);
    }

    #[test]
    fn no_key_stands_in_an_error() {
        let body =
            json!({ "error": { "message": "bad key sk-secret\u{7}, see docs", "code": 400 } });
        let error = failure(400, &body, &[]).error.to_string();
        assert_eq!(error, "refused by the provider: status 400: bad key [key] , see docs");
    }

    #[test]
    fn an_overflow_is_told_with_its_numbers_where_the_words_for_it_were_sent_too() {
        let said = "prompt is too long: 212345 tokens > 200000 maximum";
        let body = json!({ "error": { "message": said } });
        let secrets = Secrets { sent: &json!([said]), ..nothing_sent(None) };
        let told = Error::Overflow { prompt: Some(212_345), limit: Some(200_000) };
        assert_eq!(Failure::of(400, None, &body, secrets).error, told);
        let hidden = Error::Unavailable { detail: "status 500: [...]".into(), after: None };
        let body = json!({ "error": { "message": said.replace("prompt", "it") } });
        assert_eq!(Failure::of(500, None, &body, secrets).error, hidden);
    }

    #[test]
    fn a_spent_quota_is_no_rate_limit() {
        let body = json!({ "error": { "message": "pay", "code": "insufficient_quota" } });
        let refused = Error::Refused { detail: "status 429: pay".into() };
        assert_eq!(failure(429, &body, &[]), Failure::last(refused));
    }

    #[test]
    fn errors_within_a_stream_are_told_apart() {
        let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error" } });
        let nothing = nothing_sent(None);
        assert_eq!(Failure::event(&overloaded, nothing).again, Again::Yes);
        let begun = Secrets { heard: "## Goal", ..nothing };
        assert_eq!(Failure::event(&overloaded, begun).again, Again::No);
        let listed = json!([{ "error": { "code": 503, "message": "busy" } }]);
        assert_eq!(Failure::event(&listed, nothing).again, Again::Loading);
    }
}
