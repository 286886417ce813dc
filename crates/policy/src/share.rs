//! A part of a number of tokens, with bounds: what every figure of a policy is made of.

/// A part of a base, such as 20 % of a window but at least 10,000 tokens and never over half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    parts: u64,
    of: u64,
    at_least: u64,
    at_most: u64,
    within_parts: u64,
    within_of: u64,
}

impl Share {
    /// `parts` of `of` equal parts of the base. An `of` of 0 counts as 1.
    pub const fn new(parts: u64, of: u64) -> Self {
        Self {
            parts,
            of: if of == 0 { 1 } else { of },
            at_least: 0,
            at_most: u64::MAX,
            within_parts: 1,
            within_of: 1,
        }
    }

    /// A part given in per cent.
    pub const fn percent(percent: u64) -> Self {
        Self::new(percent, 100)
    }

    /// A number that does not depend on the base, but is never more than the base.
    pub const fn fixed(tokens: u64) -> Self {
        Self::new(0, 1).at_least(tokens)
    }

    /// Raises the part to `tokens` where it is less.
    #[must_use]
    pub const fn at_least(mut self, tokens: u64) -> Self {
        self.at_least = tokens;
        self
    }

    /// Lowers the part to `tokens` where it is more.
    #[must_use]
    pub const fn at_most(mut self, tokens: u64) -> Self {
        self.at_most = tokens;
        self
    }

    /// Lowers the part, its bounds included, to `parts` of `of` parts of the base: what keeps bounds
    /// made for large windows safe in small ones.
    #[must_use]
    pub const fn within(mut self, parts: u64, of: u64) -> Self {
        self.within_parts = parts;
        self.within_of = if of == 0 { 1 } else { of };
        self
    }

    /// The part of `base`, rounded down.
    pub fn of(&self, base: u64) -> u64 {
        let part = scaled(base, self.parts, self.of);
        let bounded = part.min(self.at_most).max(self.at_least);
        bounded.min(scaled(base, self.within_parts, self.within_of))
    }

    /// The part of a base that is not known: the lower bound.
    pub fn of_unknown(&self) -> u64 {
        self.at_least
    }
}

/// `base * parts / of` without overflow.
fn scaled(base: u64, parts: u64, of: u64) -> u64 {
    let scaled = u128::from(base) * u128::from(parts) / u128::from(of);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
