//! `doctor --providers`: the server of the model that summarizes, tried out. Opens no store.

use crate::app::App;
use crate::config::{Flags, SUMMARY};
use crate::failure::{Failure, Group, Result};

/// Tries the model out that the settings name.
#[cfg_attr(
    not(feature = "models"),
    expect(clippy::unused_async, reason = "builds that know models ask a server")
)]
pub(crate) async fn run(app: &mut App, flags: &Flags<SUMMARY>) -> Result<()> {
    let config = app.config.under(flags);
    #[cfg(feature = "models")]
    if let Some(named) = crate::model::named(&config, &app.environment, &app.sources)? {
        return trial::run(app, &named).await;
    }
    #[cfg(not(feature = "models"))]
    crate::summarizer::chosen(&config, &app.environment, &app.sources)?;
    Err(no_server())
}

fn no_server() -> Failure {
    let message = "the summarizer is the ledger, which needs no server";
    Failure::new(Group::Usage, message)
        .hint("name a model with --summarizer, --base-url and --model")
}

#[cfg(feature = "models")]
mod trial {
    use std::time::Duration;

    use serde::Serialize;
    use treering_provider::{SUMMARIZE, WindowSource};
    use treering_tree::{Message, Role, Usage};

    use crate::app::App;
    use crate::defaults;
    use crate::failure::Result;
    use crate::model::Named;
    use crate::output::text::{count, counted, name};
    use crate::output::{Out, progress, style};

    /// What is sent to be counted: what every summary is asked with.
    const SAMPLE: &str = SUMMARIZE.text;

    #[derive(Serialize)]
    struct Object {
        summarizer: &'static str,
        base_url: String,
        /// The model that was asked for.
        model: String,
        /// The model that answered, in the provider's words.
        answered_by: String,
        /// The variable the key came from; null where none was sent.
        key_from: Option<&'static str>,
        /// Null where nobody tells it.
        window: Option<Window>,
        sample: Sample,
        attempts: u32,
        first_byte_ms: u64,
        duration_ms: u64,
    }

    #[derive(Serialize)]
    struct Window {
        tokens: u64,
        source: WindowSource,
    }

    /// Sizes of one text, in tokens.
    #[derive(Serialize)]
    struct Sample {
        bytes: usize,
        /// By the counter that every store is counted with.
        counted: u32,
        /// By the server, in a request of its own; null where it does not count.
        server_counted: Option<u64>,
        /// Of the whole prompt, as the answer reports it.
        usage: Usage,
    }

    pub(super) async fn run(app: &mut App, named: &Named) -> Result<()> {
        let object = progress::during("asking", of(named)).await?;
        if app.out.json() { Ok(app.out.object(&object)?) } else { print(&mut app.out, &object) }
    }

    async fn of(named: &Named) -> Result<Object> {
        let model = &named.model;
        let window = model.window().await?;
        let server_counted = model.count(SAMPLE).await?;
        let answer = model.sample(SAMPLE).await?;
        let settings = model.settings();
        Ok(Object {
            summarizer: named.dialect,
            base_url: settings.base_url.clone(),
            model: settings.model.clone(),
            answered_by: answer.model,
            key_from: named.key_from,
            window: window.map(|window| Window { tokens: window.tokens, source: window.source }),
            sample: Sample {
                bytes: SAMPLE.len(),
                counted: defaults::message_size(&Message::text(Role::User, SAMPLE)).tokens,
                server_counted,
                usage: answer.usage,
            },
            attempts: answer.attempts,
            first_byte_ms: ms(answer.first_byte),
            duration_ms: ms(answer.whole),
        })
    }

    fn ms(time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }

    fn print(out: &mut Out, object: &Object) -> Result<()> {
        let window = match &object.window {
            Some(window) => {
                format!("{} tokens, from {}", count(window.tokens), said(window.source))
            }
            None => "not told; overflow errors will".to_owned(),
        };
        let sample = &object.sample;
        let server =
            sample.server_counted.map(|tokens| format!(", {} by its count", count(tokens)));
        let facts = [
            ("server", format!("{}, {}", object.base_url, object.summarizer)),
            ("model", format!("{}, answered by {}", object.model, object.answered_by)),
            ("key", object.key_from.map_or("none".to_owned(), |name| format!("from {name}"))),
            ("window", window),
            (
                "sample",
                format!(
                    "{}: {} tokens by our counter, {} as the prompt by the provider's usage{}",
                    counted(sample.bytes as u64, "byte", "bytes"),
                    count(u64::from(sample.counted)),
                    count(sample.usage.prompt()),
                    server.unwrap_or_default(),
                ),
            ),
            (
                "time",
                format!(
                    "{} ms to the first byte, {} ms in all, {}",
                    count(object.first_byte_ms),
                    count(object.duration_ms),
                    counted(u64::from(object.attempts), "try", "tries"),
                ),
            ),
        ];
        for (name, fact) in facts {
            let name = out.paint(&format!("{name:9}"), style::DIM);
            out.line(format!("{name}{}", out.foreign(&fact)))?;
        }
        Ok(())
    }

    fn said(source: WindowSource) -> String {
        match source {
            WindowSource::Configured => "the settings".to_owned(),
            WindowSource::Props => "/props".to_owned(),
            WindowSource::Upstream => "/upstream/MODEL/props".to_owned(),
            WindowSource::Models => "the list of models".to_owned(),
            WindowSource::Overflow => "an overflow error".to_owned(),
            other => name(&other),
        }
    }
}
