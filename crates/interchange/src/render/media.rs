//! Media as providers take them: base64 of a few types, or a link.

use serde_json::{Value, json};
use treering_tree::Part;

use super::losses::{LossKind, Losses};

/// Types of images that providers take.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Where the data of a part is.
enum Data<'a> {
    Base64(&'a str),
    Url(&'a str),
}

/// An image in `OpenAI`'s words: its URL, or that of its data.
pub(super) fn image_url(part: &Part, losses: &mut Losses) -> Option<String> {
    let Part::Media { mime, data } = part else { return None };
    let url = match data_of(data) {
        Some(Data::Url(url)) => Some(url.to_owned()),
        Some(Data::Base64(data)) if IMAGES.contains(&mime.as_str()) => {
            Some(format!("data:{mime};base64,{data}"))
        }
        _ => None,
    };
    losses.add_if(url.is_none(), LossKind::Media);
    url
}

/// An image or document in Anthropic's words.
pub(super) fn anthropic(part: &Part, losses: &mut Losses) -> Option<Value> {
    let Part::Media { mime, data } = part else { return None };
    let kind = match mime.as_str() {
        "application/pdf" => "document",
        mime if mime.is_empty() || IMAGES.contains(&mime) => "image",
        _ => "",
    };
    let source = match data_of(data) {
        Some(Data::Url(url)) => Some(json!({"type": "url", "url": url})),
        Some(Data::Base64(data)) if !mime.is_empty() => {
            Some(json!({"type": "base64", "media_type": mime, "data": data}))
        }
        _ => None,
    };
    let block = source.filter(|_| !kind.is_empty());
    losses.add_if(block.is_none(), LossKind::Media);
    block.map(|source| json!({"type": kind, "source": source}))
}

/// A line of text in place of a part that cannot be shown.
pub(super) fn placeholder(part: &Part) -> String {
    match part {
        Part::Media { mime, .. } => format!("[{mime} left out]"),
        _ => "[left out]".to_owned(),
    }
}

fn data_of(data: &str) -> Option<Data<'_>> {
    if data.starts_with("https://") || data.starts_with("http://") {
        let plain = data.bytes().all(|byte| byte.is_ascii_graphic());
        return plain.then_some(Data::Url(data));
    }
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let whole = data.len().is_multiple_of(4) && data.len() - digits.len() <= 2;
    (whole && !digits.is_empty() && digits.bytes().all(is_digit)).then_some(Data::Base64(data))
}
