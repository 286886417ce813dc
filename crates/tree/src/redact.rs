//! Keeping secrets out of a store: a hook that sees every body before it is written, and with the feature
//! `redact` a set of rules for it and a scan for what came in without. What matches is never told,
//! logged or kept; only which rule did, and where.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::entry::{Body, Draft, Parent};
use crate::id::Id;
use crate::store::{Change, Expect, To};

/// What becomes of a body before it is written. Must be a function of the body alone, and leave alone what it
/// wrote itself: a retry of the same entry has to come to the same bytes.
pub trait Redact: Debug + Send + Sync {
    /// The body to write instead; `None` where this one may be written.
    fn redact(&self, body: &Body) -> Option<Body>;
}

/// A change with redacted bodies. Other bodies have other ids: what names such an entry within the change
/// names the new one.
pub(crate) fn redacted(change: Change, hook: &dyn Redact) -> Change {
    let mut renamed: BTreeMap<Id, Id> = BTreeMap::new();
    let mut above: Option<Option<(Id, Id)>> = None;
    let mut entries = Vec::with_capacity(change.entries.len());
    for draft in change.entries {
        let rename = |id: Id| renamed.get(&id).copied().unwrap_or(id);
        let body = draft.whole().and_then(|whole| hook.redact(&whole.body));
        let mut new = draft.redacted(body, rename);
        let parents = match draft.parent {
            Parent::Previous => above,
            Parent::Is(parent) => {
                new.parent = Parent::Is(parent.map(rename));
                Some(parent.map(|id| (id, rename(id))))
            }
        };
        let ids = parents.map(|parents| {
            let (old, under) = (parents.map(|ids| ids.0), parents.map(|ids| ids.1));
            (draft.id_under(old), new.id_under(under))
        });
        renamed.extend(ids.filter(|(old, new)| old != new));
        // Where the first one goes is known to the store alone, and with it all that follow.
        above = ids.map(Some);
        entries.push(new);
    }
    let rename = |id: Id| renamed.get(&id).copied().unwrap_or(id);
    let mut moves = change.moves;
    for moved in &mut moves {
        if let To::Entry(id) = &mut moved.to {
            *id = rename(*id);
        }
        if let Expect::Head(id) | Expect::Behind(id) = &mut moved.expect {
            *id = rename(*id);
        }
    }
    Change { entries, moves, ..change }
}

impl Draft {
    fn redacted(&self, body: Option<Body>, rename: impl Fn(Id) -> Id) -> Self {
        let mut envelope = self.envelope().clone();
        envelope.target = envelope.target.map(&rename);
        envelope.masks.iter_mut().for_each(|mask| mask.entry = rename(mask.entry));
        let mut draft = match (body, self.whole()) {
            (None, _) if envelope == *self.envelope() => return self.clone(),
            (body, Some(whole)) => {
                Self::with(envelope, whole.nonce, body.unwrap_or_else(|| whole.body.clone()))
            }
            (_, None) => Self::erased(envelope, self.commitment()),
        };
        (draft.parent, draft.tokens, draft.counter) = (self.parent, self.tokens, self.counter);
        draft
    }
}

#[cfg(feature = "redact")]
pub use rules::{Finding, Rules, Scan, scan};

#[cfg(feature = "redact")]
mod rules {
    use std::fmt;

    use regex::bytes::{Captures, Regex, RegexSet};

    use super::Redact;
    use crate::entry::Body;
    use crate::error::{Error, Result};
    use crate::id::Id;
    use crate::limits;
    use crate::place::Number;
    use crate::store::Store;

    /// Stands before a rule's pattern: a word begins, also behind a character that JSON escapes.
    const BEGIN: &str = r"(?-u)(?:\b|\\[nrtbf]|\\u[0-9A-Fa-f]{4})";
    /// Stands before the value of something called a secret: the end of its name, and what is between the two.
    const ASSIGNED: &str = concat!(
        r"(?i-u)(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|account[_-]?key)",
        r#"(?:\\*["'])?[ \t]*(?:=>|[:=])[ \t]*(?:\\*["'])?"#
    );

    /// The one table of default rules: name, and what a secret of that kind looks like. No pattern reaches
    /// over a quote, so that JSON stays JSON.
    const DEFAULT: [(&str, &str); 19] = [
        ("anthropic-key", r"sk-ant-[A-Za-z0-9_-]{20,}"),
        ("openai-key", r"sk-(?:proj|svcacct|admin|or-v1)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{32,}"),
        ("model-key", r"(?:gsk_|xai-|pplx-|r8_|tvly-)[A-Za-z0-9-]{24,}"),
        ("aws-access-key", r"(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("google-key", r"AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,}"),
        ("github-token", r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"),
        ("gitlab-token", r"glpat-[A-Za-z0-9_-]{20,}"),
        ("slack-token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}"),
        ("stripe-key", r"(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}"),
        ("npm-token", r"npm_[A-Za-z0-9]{36}\b"),
        ("pypi-token", r"pypi-[A-Za-z0-9_-]{32,}"),
        ("hugging-face-token", r"hf_[A-Za-z0-9]{30,}"),
        (
            "service-token",
            concat!(
                r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|do[opr]_v1_[a-f0-9]{64}",
                r"|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|dckr_pat_[A-Za-z0-9_-]{20,}|glsa_[A-Za-z0-9_]{32,}",
                r"|lin_api_[A-Za-z0-9]{32,}|ntn_[A-Za-z0-9]{32,}|dapi[a-f0-9]{32}|hv[bs]\.[A-Za-z0-9_-]{20,}",
                r"|sntry[su]_[A-Za-z0-9_=+/-]{32,}|AGE-SECRET-KEY-1[0-9A-Z]{50,}|[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
            ),
        ),
        ("jwt", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        ("bearer-token", r"[Bb][Ee][Aa][Rr][Ee][Rr](?:[ \t]+|%20)[A-Za-z0-9._~+/-]{20,}=*"),
        (
            "basic-credentials",
            r"[Bb]asic [A-Za-z0-9+/]{8,}={1,2}|[Aa]uthorization: ?[Bb]asic [A-Za-z0-9+/]{8,}",
        ),
        (
            "url-password",
            r#"[A-Za-z][A-Za-z0-9+.-]*:(?:\\*/){2}[^\s:/@"\\]*:(?:[^\s/@"\\]|\\+u[0-9A-Fa-f]{4})+@"#,
        ),
        (
            "private-key",
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=:,.\- \r\n\t]|\\+[nrt/]|\\+u[0-9A-Fa-f]{4})*",
        ),
        // At least eight characters, a digit among them, before any dot: else it may as well be words of a
        // program, such as the call of something in a module.
        (
            "assigned-secret",
            concat!(
                r"(?:[A-Za-z0-9+/_~-]{7,}[0-9]|[A-Za-z0-9+/_~-]{3,}[0-9][A-Za-z0-9+/_~-]{4,}",
                r"|[A-Za-z0-9+/_~-]*[0-9][A-Za-z0-9+/_~-]{7,})[A-Za-z0-9+/_.~=-]*",
            ),
        ),
    ];

    /// Patterns of what must not be written. A match is replaced by `[redacted: NAME]`.
    #[derive(Clone)]
    pub struct Rules {
        names: Vec<String>,
        patterns: Vec<Regex>,
        any: RegexSet,
    }

    impl Rules {
        /// Rules by name and regular expression (of the `regex` crate, over bytes).
        ///
        /// # Errors
        /// `Invalid` for a pattern that is none, or a name that would not be one.
        pub fn new<'r>(rules: impl IntoIterator<Item = (&'r str, &'r str)>) -> Result<Self> {
            let (mut names, mut sources) = (Vec::new(), Vec::new());
            for (name, pattern) in rules {
                limits::check_name("rule name", name)?;
                names.push(name.to_owned());
                let begin = match name {
                    "private-key" => "(?-u)",
                    "assigned-secret" => ASSIGNED,
                    _ => BEGIN,
                };
                sources.push(format!("{begin}(?<secret>{pattern})"));
            }
            let bad = |cause: regex::Error| Error::invalid("redaction rule", cause.to_string());
            let patterns = sources.iter().map(|source| Regex::new(source).map_err(bad));
            let patterns = patterns.collect::<Result<_>>()?;
            Ok(Self { names, patterns, any: RegexSet::new(&sources).map_err(bad)? })
        }

        /// Known shapes of API keys and tokens, bearer tokens, passwords in URLs, private keys, and what is
        /// assigned to something called a key, a token, a secret or a password.
        ///
        /// # Errors
        /// None; the patterns are tested.
        pub fn known() -> Result<Self> {
            Self::new(DEFAULT)
        }

        /// Names of the rules.
        pub fn names(&self) -> &[String] {
            &self.names
        }

        /// Index of each rule that matches, and how often.
        fn matches(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
            let matching = self.any.matches(bytes);
            let count = |at: usize| (at, self.patterns[at].find_iter(bytes).count());
            matching.iter().map(count).collect()
        }
    }

    impl Redact for Rules {
        fn redact(&self, body: &Body) -> Option<Body> {
            let matching = self.any.matches(&body.bytes);
            if !matching.matched_any() {
                return None;
            }
            let mut bytes = body.bytes.clone();
            for at in &matching {
                let replacement = format!("[redacted: {}]", self.names[at]);
                let replace = |found: &Captures<'_>| {
                    // What only marks the beginning stays.
                    let secret = found.name("secret").map_or(0, |secret| secret.len());
                    let whole = &found[0];
                    [&whole[..whole.len() - secret], replacement.as_bytes()].concat()
                };
                bytes = self.patterns[at].replace_all(&bytes, replace).into_owned();
            }
            Some(Body { format: body.format.clone(), bytes })
        }
    }

    impl fmt::Debug for Rules {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Rules({} of them)", self.names.len())
        }
    }

    /// That a rule matches a stored body; never what it matched.
    #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
    pub struct Finding {
        /// The entry.
        pub id: Id,
        /// Name of the rule.
        pub rule: String,
        /// How many matches.
        pub count: usize,
    }

    /// One page of a scan.
    #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
    pub struct Scan {
        /// What was found.
        pub findings: Vec<Finding>,
        /// Entries read.
        pub entries: u64,
        /// Where the next page begins; `None` at the end.
        pub next: Option<Number>,
    }

    /// Reads up to `limit` entries with numbers from `from` on and lists those that a rule matches:
    /// candidates for [`Store::erase`].
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub async fn scan(
        store: &dyn Store,
        rules: &Rules,
        from: Number,
        limit: usize,
    ) -> Result<Scan> {
        let mut page = Scan::default();
        for stored in store.scan(None, from, limit).await? {
            page.entries += 1;
            page.next = Some(stored.place.number + 1);
            let Some(body) = stored.entry.body() else { continue };
            let id = stored.entry.id();
            for (at, count) in rules.matches(&body.bytes) {
                page.findings.push(Finding { id, rule: rules.names[at].clone(), count });
            }
        }
        Ok(page)
    }
}
