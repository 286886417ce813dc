//! Where a model is, and how long it may take.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::key::Key;
use crate::error::{Error, Result};

/// Where a model is, and how it is asked.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// URL of the server, with or without the version behind it: `http://127.0.0.1:8080`,
    /// `https://api.openai.com/v1`. HTTPS needs the feature `rustls`.
    pub base_url: String,
    /// Name of the model, as the server knows it.
    pub model: String,
    /// The key, where the server wants one.
    pub key: Option<Key>,
    /// The model's window in tokens, where the caller knows it better than the server.
    pub window_tokens: Option<u64>,
    /// Most tokens of an answer, reasoning included; twice the summary's budget where not set.
    pub answer_tokens: Option<u32>,
    /// Fields added to every request, over the ones it has; a null takes a field away.
    pub extra: Map<String, Value>,
    /// URL of a proxy. None is taken from the environment.
    pub proxy: Option<String>,
    /// How long each wait may take.
    pub limits: Limits,
    /// What is tried again.
    pub retries: Retries,
}

/// How long each wait may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until there is a connection: 5 s.
    pub connect: Duration,
    /// Until the first byte of an answer: 60 s. A server that loads the model first needs more.
    pub first_byte: Duration,
    /// Between two pieces of an answer: 30 s.
    pub idle: Duration,
    /// For the whole call, tries and waits between them included: 300 s.
    pub whole: Duration,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries in all, the first included: 3.
    pub tries: u32,
    /// Tries in all of a server that answers 503, as servers do while they load a model: 8.
    pub loading_tries: u32,
    /// Wait before the second try, doubled before each one after it: 500 ms. As much again may be
    /// added, so that many callers do not come back at once.
    pub first_wait: Duration,
    /// Longest wait before a try: 30 s. A provider that wants more is not waited for.
    pub longest_wait: Duration,
    /// Where the waits' randomness starts.
    pub seed: u64,
}

impl Settings {
    /// A model at a server, with the limits of the defaults.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            key: None,
            window_tokens: None,
            answer_tokens: None,
            extra: Map::new(),
            proxy: None,
            limits: Limits::default(),
            retries: Retries::default(),
        }
    }
}

/// Without what may hold secrets: keys, users and passwords in URLs, fields of the caller's own.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("base_url", &self.base_url.rsplit('@').next().unwrap_or_default())
            .field("model", &self.model)
            .field("key", &self.key)
            .field("window_tokens", &self.window_tokens)
            .field("answer_tokens", &self.answer_tokens)
            .field("limits", &self.limits)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(300),
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 3,
            loading_tries: 8,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            seed: 0,
        }
    }
}

/// A server's two addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Without a version: what a server says of itself is here.
    pub(super) root: String,
    /// With the version of its dialect.
    pub(super) api: String,
}

impl Base {
    /// Reads a base URL; `version` is put behind one that has none.
    pub(super) fn new(url: &str, version: &str) -> Result<Self> {
        let invalid = |why: String| Err(Error::Invalid { what: "base_url", why });
        let Ok(parsed) = reqwest::Url::parse(url) else {
            return invalid("expected a URL such as http://127.0.0.1:8080".to_owned());
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return invalid("it holds a user or password; set the key instead".to_owned());
        }
        match parsed.scheme() {
            "http" => {}
            "https" if cfg!(feature = "rustls") => {}
            "https" => return invalid("https needs a build with the feature rustls".to_owned()),
            other => return invalid(format!("expected http or https, found {other}")),
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return invalid("it has a query or fragment; give the address alone".to_owned());
        }
        let url = parsed.as_str().trim_end_matches('/');
        Ok(match url.rsplit_once('/') {
            Some((root, last)) if parsed.path().len() > 1 && is_version(last) => {
                Self { root: root.to_owned(), api: url.to_owned() }
            }
            _ => Self { root: url.to_owned(), api: format!("{url}/{version}") },
        })
    }
}

fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_put_behind_a_url_that_has_none() {
        for (url, root, api) in [
            ("http://localhost:8080", "http://localhost:8080", "http://localhost:8080/v1"),
            ("http://localhost:8080/v1/", "http://localhost:8080", "http://localhost:8080/v1"),
            ("http://x/api/v1", "http://x/api", "http://x/api/v1"),
            ("http://x/api/v4beta1", "http://x/api", "http://x/api/v4beta1"),
            ("http://v1", "http://v1", "http://v1/v1"),
        ] {
            let expected = Base { root: root.into(), api: api.into() };
            assert_eq!(Base::new(url, "v1"), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_showing_it() {
        for (url, why) in [
            ("localhost", "expected a URL"),
            ("ftp://x", "found ftp"),
            ("http://me:secret@x", "set the key instead"),
            ("http://x/?key=secret", "has a query"),
        ] {
            let error = Base::new(url, "v1").unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }
}
