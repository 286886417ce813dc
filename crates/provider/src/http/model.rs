//! A model behind HTTP as a summarizer.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use treering_tree::Summary;

use super::call::Heard;
use super::dialect::{Ask, Dialect};
use super::failure::{Again, Failure};
use super::pulse::{Pulse, Pulses};
use super::settings::{Base, Settings};
use crate::error::{Error, Result};
use crate::prompt::SUMMARIZE;
use crate::summarizer::{Summarizer, SummaryJob};
use crate::transcript::PART_BYTES;

/// An answer may be so many times as long as it was asked to be: what is longer is no summary.
const ANSWER_FACTOR: u32 = 2;

/// A model of a provider, asked for the prose of a summary.
///
/// The answer is streamed; each wait has its limit, and what may succeed at a second try gets one
/// (see [`Retries`](super::Retries)). Tries, usage, model and times are recorded in
/// [`Summary::made_by`]. Put it inside a [`Hybrid`](crate::Hybrid) to have the ledger's index beside
/// the prose, a [`Folding`](crate::Folding) for heads larger than its window, and a
/// [`Limited`](crate::Limited) to take turns. Needs a tokio runtime with time and I/O enabled.
///
/// ```
/// # #[cfg(feature = "openai")] {
/// use treering_provider::{Hybrid, Key, Model, Settings};
///
/// let mut settings = Settings::new("http://127.0.0.1:8080", "qwen3-coder");
/// settings.key = Some(Key::new("sk-local"));
/// let summarizer = Hybrid::new(Model::openai(settings)?);
/// # }
/// # Ok::<(), treering_provider::Error>(())
/// ```
pub struct Model {
    pub(super) dialect: &'static dyn Dialect,
    pub(super) settings: Settings,
    pub(super) base: Base,
    pub(super) client: reqwest::Client,
    pub(super) key_header: Option<(&'static str, HeaderValue)>,
    pub(super) pulses: Pulses,
    /// The window that an overflow error named; 0 for none.
    pub(super) learnt_window: AtomicU64,
}

impl Model {
    /// A model behind `OpenAI`'s chat completions: of `OpenAI`, llama-server, llama-swap, Ollama,
    /// vLLM, LM Studio, `OpenRouter`.
    ///
    /// # Errors
    /// `Invalid` for a base URL, key or proxy that cannot be one.
    #[cfg(feature = "openai")]
    pub fn openai(settings: Settings) -> Result<Self> {
        Self::new(&super::openai::OpenAi, settings)
    }

    /// A model behind Anthropic's messages.
    ///
    /// # Errors
    /// `Invalid` for a base URL, key or proxy that cannot be one.
    #[cfg(feature = "anthropic")]
    pub fn anthropic(settings: Settings) -> Result<Self> {
        Self::new(&super::anthropic::Anthropic, settings)
    }

    /// A model behind Gemini's `generateContent`.
    ///
    /// # Errors
    /// `Invalid` for a base URL, key or proxy that cannot be one.
    #[cfg(feature = "gemini")]
    pub fn gemini(settings: Settings) -> Result<Self> {
        Self::new(&super::gemini::Gemini, settings)
    }

    fn new(dialect: &'static dyn Dialect, settings: Settings) -> Result<Self> {
        let invalid = |what, why: &str| Error::Invalid { what, why: why.to_owned() };
        let base = Base::new(&settings.base_url, dialect.version())?;
        let (header, before) = dialect.key_header();
        let key_header = match &settings.key {
            None => None,
            Some(key) => {
                let value = HeaderValue::from_str(&format!("{before}{}", key.reveal()));
                let mut value =
                    value.map_err(|_| invalid("key", "it holds what no header may hold"))?;
                value.set_sensitive(true);
                Some((header, value))
            }
        };
        // Unless the program chose another already.
        #[cfg(feature = "rustls")]
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder()
            .connect_timeout(settings.limits.connect)
            // A redirect would take the key, and what was said, elsewhere.
            .redirect(Policy::none())
            .user_agent(concat!("treering/", env!("CARGO_PKG_VERSION")))
            // Settings are arguments: no proxy comes from the environment.
            .no_proxy();
        if let Some(proxy) = &settings.proxy {
            let proxy = reqwest::Proxy::all(proxy.as_str());
            client = client.proxy(proxy.map_err(|_| invalid("proxy", "expected a URL"))?);
        }
        let client = client.build().map_err(|error| {
            let detail = format!("no HTTP client: {}", error.without_url());
            Error::Unavailable { detail, after: None }
        })?;
        let learnt_window = AtomicU64::new(0);
        let pulses = Pulses::default();
        Ok(Self { dialect, settings, base, client, key_header, pulses, learnt_window })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far the call that began last is: a sign of life for who waits.
    pub fn pulse(&self) -> Pulse {
        self.pulses.read()
    }

    /// Asks until there is an answer, or the tries or the time are used up; and how many tries it
    /// took.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<(Heard, u32)> {
        let mut request = self.dialect.ask(&self.base, ask);
        for (name, value) in &self.settings.extra {
            if let (Value::Null, Some(fields)) = (value, request.body.as_object_mut()) {
                fields.remove(name);
            } else {
                request.body[name] = value.clone();
            }
        }
        let tries = AtomicU32::new(0);
        let once = || {
            self.pulses.tried(tries.fetch_add(1, Ordering::Relaxed) + 1);
            self.hear(&request)
        };
        let patient = once
            .retry(self.waits())
            .when(|failure| failure.again != Again::No)
            .adjust(|failure, wait| self.wait(failure, tries.load(Ordering::Relaxed), wait));
        let whole = self.settings.limits.whole;
        let heard = timeout(whole, patient).await;
        let heard = heard.unwrap_or_else(|_| Err(Failure::timeout("whole call", whole, true)));
        let tries = tries.load(Ordering::Relaxed);
        match heard {
            Ok(heard) => Ok((heard, tries)),
            Err(Failure { error, .. }) => {
                tracing::debug!(model = self.settings.model, tries, %error, "model failed");
                if let Error::Overflow { limit: Some(limit), .. } = error {
                    self.learnt_window.store(limit, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    fn waits(&self) -> ExponentialBuilder {
        let retries = &self.settings.retries;
        let most = retries.tries.max(retries.loading_tries).saturating_sub(1);
        ExponentialBuilder::new()
            .with_min_delay(retries.first_wait)
            .with_max_delay(retries.longest_wait)
            .with_max_times(usize::try_from(most).unwrap_or(usize::MAX))
            .with_jitter()
            .with_jitter_seed(retries.seed)
    }

    /// How long to wait after a failed try; `None` to give up.
    fn wait(&self, failure: &Failure, tries: u32, wait: Option<Duration>) -> Option<Duration> {
        let retries = &self.settings.retries;
        let most = match failure.again {
            Again::No => 0,
            Again::Yes => retries.tries,
            Again::Loading => retries.loading_tries,
        };
        let wait = wait?.min(retries.longest_wait);
        let wait = failure.after().unwrap_or(wait);
        (tries < most && wait <= retries.longest_wait).then_some(wait)
    }
}

#[async_trait]
impl Summarizer for Model {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let text = SUMMARIZE.request(&job, PART_BYTES);
        let twice = job.budget_tokens.saturating_mul(ANSWER_FACTOR);
        let start = Instant::now();
        let (heard, attempts) = self
            .ask(Ask {
                model: &self.settings.model,
                system: SUMMARIZE.text,
                text: &text,
                answer_tokens: self.settings.answer_tokens.unwrap_or(twice).max(1),
            })
            .await?;
        let prose = heard.answer.prose()?.to_owned();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut made_by = json!({
            "summarizer": self.dialect.name(),
            "model": heard.answer.model.as_deref().unwrap_or(&self.settings.model),
            "prompt": { "version": SUMMARIZE.version, "hash": SUMMARIZE.hash() },
            "attempts": attempts,
            "usage": heard.answer.usage,
            "first_byte_ms": ms(heard.first_byte),
            "duration_ms": ms(start.elapsed()),
        });
        if let Some(cost) = heard.answer.cost {
            made_by["cost"] = cost.into();
        }
        Ok(Summary { text: prose, ledger: None, made_by: Some(made_by) })
    }

    fn name(&self) -> &str {
        self.dialect.name()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("dialect", &self.dialect.name())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
