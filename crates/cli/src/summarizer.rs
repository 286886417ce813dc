//! The summarizer that the settings name: the ledger, or a model whose prose stands above it.

use std::sync::Arc;

use treering_provider::{Ledger, Summarizer};
use treering_tree::Sources;

use crate::config::{Config, Key};
use crate::failure::Result;
#[cfg(feature = "models")]
use crate::model;
use crate::surroundings::Environment;

/// A summarizer, and what is to be told of it while it works.
pub(crate) struct Chosen {
    pub(crate) summarizer: Arc<dyn Summarizer>,
    /// As people know it.
    pub(crate) name: String,
    #[cfg(feature = "models")]
    model: Option<Arc<treering_provider::Model>>,
}

impl Chosen {
    /// The ledger.
    fn ledger() -> Self {
        Self {
            summarizer: Arc::new(Ledger::new()),
            name: "the ledger".to_owned(),
            #[cfg(feature = "models")]
            model: None,
        }
    }

    /// The try that its model is at, and how many bytes it has said.
    #[cfg(feature = "models")]
    pub(crate) fn pulse(&self) -> Option<(u32, usize)> {
        let pulse = self.model.as_ref()?.pulse();
        Some((pulse.attempt, pulse.heard_bytes))
    }

    /// This build knows no models.
    #[cfg(not(feature = "models"))]
    #[expect(clippy::unused_self, reason = "other builds know models")]
    pub(crate) fn pulse(&self) -> Option<(u32, usize)> {
        None
    }
}

/// The one that is chosen.
#[cfg(feature = "models")]
pub(crate) fn chosen(
    config: &Config,
    environment: &Environment,
    sources: &Sources,
) -> Result<Chosen> {
    use treering_provider::{Fitted, Hybrid, Permits};
    let Some(named) = model::named(config, environment, sources)? else {
        return Ok(Chosen::ledger());
    };
    let name = format!("{} {}", named.dialect, named.model.settings().model);
    let at_once = config.count(Key::AtOnce).and_then(|calls| calls.try_into().ok()).unwrap_or(1);
    let hybrid = Hybrid::new(Fitted::new(named.model.clone(), &Permits::new(), at_once));
    let strict = config.text(Key::Fallback) == Some("none");
    let hybrid = if strict { hybrid.strict() } else { hybrid };
    Ok(Chosen { summarizer: Arc::new(hybrid), name, model: Some(named.model) })
}

/// The ledger, the only one that this build knows.
#[cfg(not(feature = "models"))]
pub(crate) fn chosen(config: &Config, _: &Environment, _: &Sources) -> Result<Chosen> {
    match config.text(Key::Summarizer) {
        None | Some("ledger") => Ok(Chosen::ledger()),
        Some(other) => Err(unknown(other)),
    }
}

/// What a build without models says to one.
#[cfg(not(feature = "models"))]
pub(crate) fn unknown(summarizer: &str) -> crate::failure::Failure {
    use crate::failure::{Failure, Group};
    let message = format!("summarizer {summarizer}: this build knows no models");
    Failure::new(Group::Usage, message).hint("build with the feature `models`")
}
