//! A sign of life on standard error for what takes long, on a terminal only.

use std::borrow::Cow;
use std::pin::pin;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is faster is not worth a flicker.
pub(crate) const DELAY: Duration = Duration::from_millis(250);
pub(crate) const TICK: Duration = Duration::from_millis(100);
const FRAMES_PER_SECOND: u8 = 30;
const BAR: &str = "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// Awaits `work`, and says `what` it is while it takes longer than [`DELAY`].
pub(crate) async fn during<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(DELAY, &mut work).await {
        return done;
    }
    let spinner = drawn(what);
    spinner.enable_steady_tick(TICK);
    let done = work.await;
    spinner.finish_and_clear();
    done
}

/// How far through a number of bytes something is.
pub(crate) struct Bar {
    what: &'static str,
    since: Instant,
    drawn: Option<ProgressBar>,
}

impl Bar {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, since: Instant::now(), drawn: None }
    }

    pub(crate) fn set(&mut self, done_bytes: u64, total_bytes: u64) {
        if self.drawn.is_none() && self.since.elapsed() < DELAY {
            return;
        }
        let bar = self.drawn.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(BAR);
            drawn(self.what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_length(total_bytes);
        bar.set_position(done_bytes);
    }

    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}

/// A sign of life; on a terminal only.
pub(crate) fn drawn(what: impl Into<Cow<'static, str>>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND);
    let bar = ProgressBar::with_draw_target(None, target).with_message(what);
    // What has no length is no bar: that would hide the message.
    bar.with_style(ProgressStyle::default_spinner())
}
