//! As much XML as an OVF descriptor needs: elements with their attributes, and texts.

use tintype_core::{Error, Result};

/// Elements inside each other, at most.
const DEEPEST: usize = 64;
/// Attributes of one element, at most.
const ATTRIBUTES: usize = 256;

/// Something in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An element begins. Names are without their prefixes.
    Begin { name: String, attributes: Vec<(String, String)> },
    /// An element ends.
    End { name: String },
    /// Text between elements.
    Text(String),
}

/// Tells `each` of everything in `text`, in order. `Corrupt` where it is no XML, `Limit` where it is deeper or wider than any OVF; nothing
/// is fetched, and no entity is known but the five of XML.
pub(super) fn events(text: &str, each: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut open: Vec<String> = Vec::new();
    let at = |rest: &str| (text.len() - rest.len()) as u64;
    while let Some(start) = rest.find('<') {
        let between = rest[..start].trim();
        if !between.is_empty() {
            each(Event::Text(unescaped(between).ok_or_else(|| wrong("an unknown entity", at(rest)))?))?;
        }
        rest = &rest[start..];
        let skip = |end: &str| rest.find(end).map(|i| &rest[i + end.len()..]);
        let here = at(rest);
        if let Some(inside) = rest.strip_prefix("<![CDATA[") {
            let (data, after) = inside.split_once("]]>").ok_or_else(|| wrong("no end of CDATA", here))?;
            each(Event::Text(data.to_owned()))?;
            rest = after;
        } else if rest.starts_with("<!--") {
            rest = skip("-->").ok_or_else(|| wrong("no end of a comment", here))?;
        } else if rest.starts_with("<?") {
            rest = skip("?>").ok_or_else(|| wrong("no end of an instruction", here))?;
        } else if rest.starts_with("<!") {
            return Err(wrong("a document type, which no OVF has", here));
        } else if let Some(inside) = rest.strip_prefix("</") {
            let (name, after) = inside.split_once('>').ok_or_else(|| wrong("no end of a tag", here))?;
            let name = local(name.trim());
            if open.pop().as_deref() != Some(name) {
                return Err(wrong("an end without a begin", here));
            }
            each(Event::End { name: name.to_owned() })?;
            rest = after;
        } else {
            let (tag, after) = tag(&rest[1..]).ok_or_else(|| wrong("no end of a tag", here))?;
            let (tag, empty) = match tag.strip_suffix('/') {
                Some(tag) => (tag, true),
                None => (tag, false),
            };
            let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            let name = local(name).to_owned();
            if name.is_empty() {
                return Err(wrong("a tag without a name", here));
            }
            let attributes = attributes_of(attributes).ok_or_else(|| wrong("a broken attribute", here))?;
            each(Event::Begin { name: name.clone(), attributes })?;
            if empty {
                each(Event::End { name })?;
            } else if open.len() < DEEPEST {
                open.push(name);
            } else {
                return Err(Error::limit("the OVF descriptor has too many elements inside each other").at(here));
            }
            rest = after;
        }
    }
    match open.last() {
        Some(name) => Err(wrong(&format!("{name} does not end: it was cut off"), text.len() as u64)),
        None => Ok(()),
    }
}

fn wrong(what: &str, at: u64) -> Error {
    Error::corrupt(format!("the OVF descriptor is no XML: {what}")).at(at)
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// A tag up to its `>`, which may stand inside quotes, and what follows.
fn tag(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some((&text[..i], &text[i + 1..])),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
    }
    None
}

fn attributes_of(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Some(found);
        }
        if found.len() >= ATTRIBUTES {
            return None;
        }
        let (name, after) = text.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        found.push((local(name.trim()).to_owned(), unescaped(value)?));
        text = after;
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out += before;
        let (entity, after) = after.split_once(';')?;
        out.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let digits = entity.strip_prefix('#')?;
                let code = match digits.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = after;
    }
    Some(out + rest)
}

/// `text` for an attribute or between elements.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}
