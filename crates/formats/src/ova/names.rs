//! How a descriptor and a manifest spell the names of files.

/// A name without the scheme and the folder that it has anyway.
pub(super) fn plain(name: &str) -> &str {
    let mut name = name.strip_prefix("file:").unwrap_or(name);
    while let Some(rest) = name.strip_prefix("./") {
        name = rest.trim_start_matches('/');
    }
    name
}

/// A name with the escapes of a URI resolved; none where it has none or they are no text.
pub(super) fn unescaped(name: &str) -> Option<String> {
    let (first, rest) = name.split_once('%')?;
    let mut bytes = first.as_bytes().to_vec();
    for part in rest.split('%') {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
