//! The model that the settings name, and its key: the only file that reads keys. They are in the
//! environment alone, and go where their owner sent them: a provider's own variable to that provider's
//! own address and nowhere else.

use std::sync::Arc;

use treering_provider::{Error, Key as ApiKey, Model, Settings};
use treering_tree::Sources;

use crate::config::{Config, Key};
use crate::failure::{Failure, Group, Result};
use crate::surroundings::Environment;

/// Holds the key for whatever address is set.
const ANY_KEY: &str = "TREERING_API_KEY";

/// Who speaks a dialect first.
struct Provider {
    name: &'static str,
    dialect: fn(Settings) -> Result<Model, Error>,
    address: &'static str,
    variable: &'static str,
}

const PROVIDERS: [Provider; 3] = [
    Provider {
        name: "openai",
        dialect: Model::openai,
        address: "https://api.openai.com/v1",
        variable: "OPENAI_API_KEY",
    },
    Provider {
        name: "anthropic",
        dialect: Model::anthropic,
        address: "https://api.anthropic.com",
        variable: "ANTHROPIC_API_KEY",
    },
    Provider {
        name: "gemini",
        dialect: Model::gemini,
        address: "https://generativelanguage.googleapis.com",
        variable: "GEMINI_API_KEY",
    },
];

/// A model, and which variable its key came from.
pub(crate) struct Named {
    pub(crate) model: Arc<Model>,
    pub(crate) dialect: &'static str,
    pub(crate) key_from: Option<&'static str>,
}

/// The model that the settings name; `None` for the ledger.
pub(crate) fn named(
    config: &Config,
    environment: &Environment,
    sources: &Sources,
) -> Result<Option<Named>> {
    let wanted = config.text(Key::Summarizer);
    let Some(provider) = PROVIDERS.iter().find(|provider| Some(provider.name) == wanted) else {
        return Ok(None);
    };
    let Some(model) = config.text(Key::Model) else {
        let message = format!("summarizer {}: no model is named", provider.name);
        let hint = "name it with --model NAME, TREERING_MODEL or `model` in a file of settings";
        return Err(Failure::new(Group::Usage, message).hint(hint));
    };
    let address = config.text(Key::BaseUrl).unwrap_or(provider.address);
    let mut settings = Settings::new(address, model);
    let key = key_for(provider, address, |name| environment.variable(name)?.into_string().ok());
    let key_from = key.as_ref().map(|(variable, _)| *variable);
    settings.key = key.map(|(_, key)| key);
    if settings.key.is_none() && address == provider.address {
        let message = format!("no key for {address}");
        let hint = format!(
            "set {} or {ANY_KEY}; --base-url URL names a server that wants none",
            provider.variable
        );
        return Err(Failure::new(Group::Usage, message).hint(hint));
    }
    settings.window_tokens = config.count(Key::ModelWindow);
    settings.extra = config.object(Key::Extra);
    if let Some(timeout) = config.time(Key::Timeout) {
        settings.limits.whole = timeout;
    }
    if let Some(first_byte) = config.time(Key::FirstByte) {
        settings.limits.first_byte = first_byte;
    }
    if let Some(tries) = config.count(Key::Tries) {
        let tries = u32::try_from(tries).unwrap_or(u32::MAX);
        (settings.retries.tries, settings.retries.loading_tries) = (tries, tries);
    }
    settings.retries.seed = sources.now_ms().unsigned_abs();
    let model = Arc::new((provider.dialect)(settings)?);
    Ok(Some(Named { model, dialect: provider.name, key_from }))
}

/// The key for an address, and the variable it is in.
fn key_for(
    provider: &Provider,
    address: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, ApiKey)> {
    let own = (address.trim_end_matches('/') == provider.address).then_some(provider.variable);
    [Some(ANY_KEY), own].into_iter().flatten().find_map(|name| {
        let key = variable(name).filter(|key| !key.trim().is_empty())?;
        Some((name, ApiKey::new(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_own_key_goes_to_that_provider_alone() {
        let own = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-own".to_owned());
        let any = |name: &str| (name == ANY_KEY).then(|| "sk-any".to_owned());
        let from = |provider: &Provider, address: &str, variable: fn(&str) -> Option<String>| {
            key_for(provider, address, variable).map(|(name, _)| name)
        };
        let [openai, anthropic, _] = &PROVIDERS;
        assert_eq!(from(openai, "https://api.openai.com/v1", own), Some("OPENAI_API_KEY"));
        assert_eq!(from(openai, "https://api.openai.com/v1/", own), Some("OPENAI_API_KEY"));
        for address in ["http://127.0.0.1:8080", "https://api.openai.com.example.com/v1"] {
            assert_eq!(from(openai, address, own), None, "{address}");
            assert_eq!(from(openai, address, any), Some(ANY_KEY), "{address}");
        }
        assert_eq!(from(anthropic, anthropic.address, own), None);
        assert_eq!(from(openai, openai.address, |_| Some(" ".into())), None);
    }
}
