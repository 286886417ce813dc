//! Foreign session formats to and from entries.
//!
//! ```text
//!   file --lines--> line --understand--> pieces, each with a meaning --loom--> entries --> store
//!                                          |                            |
//!                                     one file per format         one index per session
//! ```
//!
//! Every byte of a file is in the body of exactly one entry, and the bodies, one after the other, are
//! the file: so [`Export`] gives it back byte for byte. What a record means is read from its body by
//! [`message`] whenever somebody asks.
//!
//! This crate never counts tokens, never decides what a model sees, never changes a record, and never
//! follows a path that a file's content names.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use treering_interchange::{Export, Input, Options, load};
//! use treering_tree::{Options as StoreOptions, RedbStore, Sources};
//!
//! let store = RedbStore::in_memory(StoreOptions::new(Sources::fixed(1)))?;
//! let line = r#"{"type":"user","uuid":"u1","parentUuid":null,"sessionId":"s1","message":{"content":"hello"}}"#;
//! let input = Input::Bytes { name: "s1.jsonl".into(), bytes: line.into() };
//! let options = Options { count: &|_| 1_u32.into(), format: None, at_ms: 0, progress: &mut |_| {} };
//! let reports = load(&store, vec![input], options).await?;
//! assert_eq!((reports[0].session.as_str(), reports[0].added), ("s1", 1));
//!
//! let mut bytes = Vec::new();
//! Export::of(&store, "s1").await?.write(&store, 0, &mut bytes).await?;
//! assert_eq!(bytes, line.as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod as_its_tool;
mod batch;
mod bind;
mod branches;
mod bundle;
mod check;
#[cfg(feature = "sqlite")]
mod database;
mod doctor;
mod document;
mod error;
mod export;
mod files;
mod folder;
mod follow;
mod formats;
mod frame;
mod heads;
mod json;
mod limits;
#[cfg(test)]
mod limits_tests;
mod lines;
mod load;
mod loading;
mod loom;
mod message;
mod names;
mod render;
mod report;
mod rescue;
mod sessions;
mod source;
mod split;
mod stored;
pub mod time;
mod understand;

#[cfg(feature = "zstd")]
pub use bundle::export_bundle_zstd;
pub use bundle::{BundleOptions, BundleReport, export_bundle, import_bundle};
pub use check::Checked;
pub use doctor::{Diagnosis, DoctorOptions, Finding, FindingKind, doctor};
pub use error::{Error, Result};
pub use export::{Export, ExportedFile};
pub use files::Input;
pub use follow::Follow;
pub use load::{Options, load};
pub use message::{label, masked, message, plain_text};
pub use render::{Loss, LossKind, Rendered, Target, Transcript, render};
pub use report::{Located, Progress, Repair, RepairKind, SessionReport};
pub use rescue::{Rescued, rescue};
pub use sessions::Sessions;
