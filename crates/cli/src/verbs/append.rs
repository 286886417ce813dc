//! `append SESSION`: one entry under the active head.

use std::io::Read;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use treering_tree::{Kind, Message, Part, Role, Session, limits};

use crate::app::App;
use crate::defaults;
use crate::failure::{Failure, Group, Result};
use crate::resolve;

const KINDS: [Kind; 6] =
    [Kind::User, Kind::Assistant, Kind::SystemPrompt, Kind::ToolResult, Kind::Note, Kind::Record];
const DEFAULT_SLOT: &str = "system";
const DEFAULT_TOOL: &str = "tool";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exact name of the session
    session: String,
    #[arg(long, value_parser = kinds())]
    kind: Kind,
    /// What is said; `-` reads standard input
    #[arg(long)]
    text: String,
    /// Slot of a system prompt [default: system]
    #[arg(long)]
    slot: Option<String>,
    /// A tool call that an assistant entry makes
    #[arg(long, value_name = "ID[=TOOL]")]
    calls: Vec<String>,
    /// A tool call that a tool result answers
    #[arg(long, value_name = "ID")]
    answers: Vec<String>,
    /// Your own id for the entry; makes a retry safe
    #[arg(long)]
    alias: Option<String>,
    /// Append only if the head is this entry, or `empty`
    #[arg(long, value_name = "ID|empty")]
    expect: Option<String>,
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(KINDS.map(Kind::name))
        .try_map(|name| Kind::from_name(&name).ok_or("no kind of that name"))
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    // Before the store is opened: nobody is to be locked out while somebody types.
    let message = message(app, &args)?;
    let body = message.body();
    let store = app.store_or_new()?;
    let session = Session::new(Arc::clone(&store), &args.session, app.sources.clone());
    let expect = resolve::expect(&session, args.expect.as_deref()).await?;
    let draft = defaults::counted(session.draft(args.kind, body));
    let mut draft = draft.calls(message.calls()).answers(message.answers());
    let slot = args.slot.or((args.kind == Kind::SystemPrompt).then(|| DEFAULT_SLOT.to_owned()));
    if let Some(slot) = slot {
        draft = draft.slot(slot);
    }
    if let Some(alias) = args.alias {
        draft = draft.alias(alias);
    }
    let committed = session.append(draft, expect).await?;
    let (id, head) = (committed.ids.first(), committed.head);
    if app.out.json() {
        Ok(app.out.object(&json!({ "id": id, "head": head }))?)
    } else {
        Ok(app.out.line(id.map_or_else(String::new, ToString::to_string))?)
    }
}

fn message(app: &mut App, args: &Args) -> Result<Message> {
    let text = if args.text == "-" { standard_input(&mut app.input)? } else { args.text.clone() };
    let role = match args.kind {
        Kind::Assistant => Role::Assistant,
        Kind::ToolResult => Role::Tool,
        Kind::SystemPrompt | Kind::Record => Role::System,
        _ => Role::User,
    };
    let result =
        |call: &String| Part::ToolResult { call: call.clone(), text: text.clone(), error: false };
    let mut parts: Vec<Part> = args.answers.iter().map(result).collect();
    if parts.is_empty() {
        parts.push(Part::Text { text: text.clone() });
    }
    parts.extend(args.calls.iter().map(|call| {
        let (id, tool) = call.split_once('=').unwrap_or((call, DEFAULT_TOOL));
        Part::ToolCall { id: id.to_owned(), name: tool.to_owned(), arguments: json!({}) }
    }));
    Ok(Message::new(role, parts))
}

fn standard_input(input: &mut dyn Read) -> Result<String> {
    let mut bytes = Vec::new();
    // One byte over the limit is enough for the engine to refuse it.
    input.take(limits::BODY_BYTES + 1).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Group::Invalid, format!("standard input is not UTF-8 at byte {at}"))
    })
}
