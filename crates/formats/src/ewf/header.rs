//! Case data: the text in `header` and `header2` sections, and which program's files look that way.
//!
//! Text is lines: `main`, a line of short names, a line of values, all separated by tabs. `header2` is UTF-16, `header` is in
//! whatever code page the examiner's machine had. Source: libyal's EWF specification, "Header values", and real files.

use jiff::Timestamp;
use jiff::civil::DateTime;
use std::collections::BTreeMap;
use tintype_codec::deflate::{Compressor, Decompressor, Level, Padding, zlib_lenient};
use tintype_core::{Facts, Limits};

/// Most bytes that a header may unpack to.
const MOST_TEXT: usize = 16 << 20;

/// The text of one header section.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    /// Short names in the order of the file.
    names: Vec<String>,
    values: BTreeMap<String, String>,
    /// What the first line says: how many categories there are.
    categories: String,
    line_end: LineEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LineEnd {
    #[default]
    Lf,
    CrLf,
}

/// All that the headers of an image say.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    /// From `header`.
    pub(super) narrow: Option<Header>,
    /// From `header2`.
    pub(super) wide: Option<Header>,
    /// From `xheader`: names of XML elements and their text.
    pub(super) extended: Option<BTreeMap<String, String>>,
}

/// What the volume section says about the kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// 94 bytes, signed `SMART`.
    Smart,
    /// 94 bytes, not signed so.
    Small,
    /// 1052 bytes.
    Large,
}

impl Headers {
    /// The program whose files look like this one.
    pub(super) fn variant(&self, shape: Shape) -> String {
        let narrow = self.narrow.as_ref();
        let crlf = narrow.is_some_and(|h| h.line_end == LineEnd::CrLf);
        let name = match (shape, &self.wide, narrow) {
            _ if self.extended.is_some() => "EWF-X",
            (Shape::Smart, ..) => "SMART (S01)",
            (Shape::Small, ..) if crlf => "EnCase 1",
            (Shape::Small, ..) => "EWF (ASR Data)",
            (_, Some(wide), _) if wide.has("l") => "EnCase 7",
            (_, Some(wide), _) if wide.has("md") => "EnCase 6",
            (_, Some(wide), _) if wide.categories == "3" => "EnCase 5",
            (_, Some(_), _) => "EnCase 4",
            (_, None, Some(header)) if header.categories == "3" => match () {
                () if header.has("l") => "linen 7",
                () if header.has("md") => "linen 6",
                () => "linen 5",
            },
            (_, None, Some(header)) if header.names.iter().position(|n| n == "r") == Some(10) => match () {
                () if !crlf => "FTK Imager",
                () if header.value("av").starts_with('3') => "EnCase 3",
                () => "EnCase 2",
            },
            (_, None, Some(_)) if crlf => "EnCase 1",
            _ => "EWF",
        };
        name.to_owned()
    }

    /// The value of a short name, from the header that can hold every character.
    pub(super) fn value(&self, name: &str) -> &str {
        [&self.wide, &self.narrow].into_iter().flatten().map(|h| h.value(name)).find(|v| !v.is_empty()).unwrap_or("")
    }

    fn element(&self, name: &str) -> &str {
        self.extended.as_ref().and_then(|x| x.get(name)).map_or("", String::as_str)
    }

    /// Adds what the headers say to `facts`.
    pub(super) fn tell(&self, facts: &mut Facts) {
        let pick = |short: &str, long: &str| match self.value(short) {
            "" => self.element(long).to_owned(),
            value => value.to_owned(),
        };
        facts.case.case = pick("c", "case_number");
        facts.case.evidence = pick("n", "evidence_number");
        facts.case.examiner = pick("e", "examiner_name");
        facts.case.description = pick("a", "description");
        facts.case.notes = pick("t", "notes");
        facts.case.acquired = rfc3339(&pick("m", "acquiry_date"));
        facts.case.system_time = rfc3339(&pick("u", "system_date"));
        facts.case.program = pick("av", "acquiry_software_version");
        facts.case.system = pick("ov", "acquiry_operating_system");
        facts.identity.model = pick("md", "model");
        facts.identity.serial = pick("sn", "serial_number");
        for (short, field) in
            [("l", "device_label"), ("pid", "process_id"), ("ext", "process_extents"), ("r", "header_compression")]
        {
            let value = self.value(short);
            if !value.is_empty() && value != "0" {
                facts.fields.insert(field.to_owned(), value.to_owned());
            }
        }
        if !matches!(self.value("p"), "" | "0") {
            facts.fields.insert("password_hash".to_owned(), self.value("p").to_owned());
        }
    }
}

impl Header {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The header that a `header` section holds; none if it is no header text.
    pub(super) fn narrow(packed: &[u8], limits: &Limits) -> Option<Self> {
        let bytes = unpack(packed, limits)?;
        Self::parse(&match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => windows_1252(e.as_bytes()),
        })
    }

    /// The header that a `header2` section holds; none if it is no header text.
    pub(super) fn wide(packed: &[u8], limits: &Limits) -> Option<Self> {
        Self::parse(&utf16(&unpack(packed, limits)?))
    }

    fn parse(text: &str) -> Option<Self> {
        let line_end = if text.contains("\r\n") { LineEnd::CrLf } else { LineEnd::Lf };
        let mut lines = text.split('\n').map(|l| l.trim_end_matches(['\r', '\0']));
        let categories = lines.next()?.trim().to_owned();
        lines.find(|l| *l == "main")?;
        let names: Vec<String> = lines.next()?.split('\t').map(str::to_owned).collect();
        let values = lines.next().unwrap_or_default().split('\t');
        let values = names.iter().cloned().zip(values.map(|v| v.trim_end_matches('\0').to_owned())).collect();
        Some(Header { names, values, categories, line_end })
    }
}

/// The elements of an `xheader` or `xhash` section; none if it is no XML.
pub(super) fn elements(packed: &[u8], limits: &Limits) -> Option<BTreeMap<String, String>> {
    let bytes = unpack(packed, limits)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    if !rest.starts_with("<?xml") {
        return None;
    }
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let Some(close) = rest.find('>') else { break };
        let (name, after) = (&rest[..close], &rest[close + 1..]);
        let end = after.find('<').unwrap_or(after.len());
        if after[end..].strip_prefix("</").is_some_and(|t| t.starts_with(name)) {
            let value = after[..end].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            found.insert(name.to_owned(), value.trim().to_owned());
        }
        rest = after;
    }
    Some(found)
}

fn unpack(packed: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let most = MOST_TEXT.min(usize::try_from(limits.allocation).unwrap_or(MOST_TEXT));
    let mut room = (packed.len() * 8).clamp(4096, most);
    let mut decoder = Decompressor::new();
    loop {
        let mut out = vec![0; room];
        let result = match decoder.zlib(packed, &mut out) {
            Ok(progress) => Ok(progress.written),
            Err(e @ tintype_codec::Error::TooLarge(_)) => Err(e),
            Err(e) => match zlib_lenient(packed, &mut out, Padding::Any) {
                Ok(lenient) if lenient.checksum_matches => Ok(lenient.progress.written),
                Ok(_) => Err(e),
                Err(e) => Err(e),
            },
        };
        match result {
            Ok(written) => {
                out.truncate(written);
                return Some(out);
            }
            Err(tintype_codec::Error::TooLarge(_)) if room < most => room = (room * 8).min(most),
            Err(_) => return None,
        }
    }
}

fn utf16(bytes: &[u8]) -> String {
    let (big, bytes) = match bytes {
        [0xfe, 0xff, rest @ ..] => (true, rest),
        [0xff, 0xfe, rest @ ..] => (false, rest),
        all => (false, all),
    };
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|p| if big { u16::from_be_bytes(*p) } else { u16::from_le_bytes(*p) });
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Windows-1252, the code page that English and Western European machines used.
fn windows_1252(bytes: &[u8]) -> String {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    bytes
        .iter()
        .map(|b| match b {
            0x80..=0x9f => HIGH[usize::from(b - 0x80)],
            other => char::from(*other),
        })
        .collect()
}

/// A time as RFC 3339 where it can be understood, else as it stands. Times of `header` have no zone, so none is claimed.
fn rfc3339(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text == "0" {
        return String::new();
    }
    if let Some(at) = text.parse().ok().and_then(|s: i64| Timestamp::from_second(s).ok()) {
        return at.to_string();
    }
    let parts: Option<Vec<i16>> = text.split_whitespace().map(|w| w.parse().ok()).collect();
    if let Some([year, month, day, hour, minute, second]) = parts.as_deref() {
        let small = |n: &i16| i8::try_from(*n).unwrap_or(-1);
        let at = DateTime::new(*year, small(month), small(day), small(hour), small(minute), small(second), 0);
        if let Ok(at) = at {
            return at.to_string();
        }
    }
    text.to_owned()
}

/// The packed header sections of a new image: `header2` and `header`.
pub(super) struct Packed {
    pub(super) wide: Vec<u8>,
    pub(super) narrow: Vec<u8>,
}

/// What the headers of a new image say.
pub(super) struct Text {
    wide: String,
    narrow: String,
}

/// The time that a fact tells, where it can be understood.
pub(super) fn time_of(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
    })
}

impl Text {
    /// The text that says `facts`; times that are not known are `now`.
    pub(super) fn new(facts: &Facts, now: Timestamp) -> Self {
        let acquired = time_of(&facts.case.acquired).unwrap_or(now);
        let system = time_of(&facts.case.system_time).unwrap_or(acquired);
        let case = &facts.case;
        let or = |value: &str, default: &str| one_line(if value.is_empty() { default } else { value });
        let program = or(&case.program, "tintype");
        let platform = or(&case.system, "Linux");
        let [description, number, evidence, examiner, notes, model, serial] = [
            &case.description,
            &case.case,
            &case.evidence,
            &case.examiner,
            &case.notes,
            &facts.identity.model,
            &facts.identity.serial,
        ]
        .map(|v| one_line(v));
        let (m, u) = (acquired.as_second(), system.as_second());
        let wide = format!(
            "3\nmain\na\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc\n{description}\t{number}\t{evidence}\t{examiner}\t{notes}\t{model}\t\
             {serial}\t{program}\t{platform}\t{m}\t{u}\t0\t\n\nsrce\n0\t1\np\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq\n0\t0\n\t\t\t\t\t-1\t-1\
             \t\t\t\n\nsub\n0\t1\np\tn\tid\tnu\tco\tgu\n0\t0\n\t\t\t\t1\t\n\n"
        );
        let clock = |at: Timestamp| at.strftime("%Y %-m %-d %-H %-M %-S").to_string();
        let narrow = format!(
            "1\r\nmain\r\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\r\n{number}\t{evidence}\t{description}\t{examiner}\t{notes}\t{program}\t{platform}\
             \t{}\t{}\t0\r\n\r\n",
            clock(acquired),
            clock(system)
        );
        Text { wide, narrow }
    }

    /// The bytes that the set identifier is made of.
    pub(super) fn identity(&self) -> &[u8] {
        self.wide.as_bytes()
    }

    /// The sections' contents.
    pub(super) fn pack(&self) -> Packed {
        let mut encoder = Compressor::new(Level::Best);
        let mut packed = Packed { wide: Vec::new(), narrow: Vec::new() };
        let wide: Vec<u8> =
            std::iter::once(0xfeff).chain(self.wide.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        encoder.zlib(&wide, &mut packed.wide);
        let narrow: String = self.narrow.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        encoder.zlib(narrow.as_bytes(), &mut packed.narrow);
        packed
    }
}

/// `text` without the characters that separate values and lines.
fn one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\t', '\r', '\n', '\0'], " ")
}

/// True if `text` cannot be written as it is.
pub(super) fn loses_lines(text: &str) -> bool {
    one_line(text) != text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(facts: &Facts) -> Headers {
        let packed = Text::new(facts, Timestamp::UNIX_EPOCH).pack();
        let limits = Limits::default();
        Headers {
            narrow: Header::narrow(&packed.narrow, &limits),
            wide: Header::wide(&packed.wide, &limits),
            extended: None,
        }
    }

    #[test]
    fn case_data_comes_back() {
        let mut facts = Facts::default();
        facts.case.case = "Fall 7 – Ömer".into();
        facts.case.notes = "one\ttwo\r\nthree".into();
        facts.case.acquired = "2024-05-06T07:08:09Z".into();
        facts.case.program = "tintype 0.1".into();
        facts.identity.serial = "S/N 1".into();
        let headers = headers(&facts);
        let mut back = Facts::default();
        headers.tell(&mut back);
        assert_eq!(back.case.case, facts.case.case);
        assert_eq!(back.case.notes, "one two three");
        assert_eq!(back.case.acquired, facts.case.acquired);
        assert_eq!(back.case.system_time, facts.case.acquired);
        assert_eq!(back.identity.serial, "S/N 1");
        assert_eq!(headers.variant(Shape::Large), "EnCase 6");
        assert_eq!(headers.narrow.as_ref().unwrap().value("c"), "Fall 7 ? ?mer");
        assert_eq!(rfc3339(headers.narrow.as_ref().unwrap().value("m")), "2024-05-06T07:08:09");
    }

    #[test]
    fn old_headers_are_understood() {
        let parse = |text: &str| Header::parse(text).unwrap();
        let main = "main\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\tr\nx\ty\tz\t\t\t2.17a\tDOS\t2002 3 4 10 19 59\t\t0\tf\n\n";
        let ftk = Headers { narrow: Some(parse(&format!("1\n{main}"))), ..Headers::default() };
        assert_eq!(ftk.variant(Shape::Large), "FTK Imager");
        assert_eq!(rfc3339(ftk.value("m")), "2002-03-04T10:19:59");
        let encase = Headers { narrow: Some(parse(&format!("1\n{main}").replace('\n', "\r\n"))), ..Headers::default() };
        assert_eq!(encase.variant(Shape::Large), "EnCase 2");
        assert_eq!(encase.variant(Shape::Smart), "SMART (S01)");
        assert_eq!(windows_1252(b"\x80 \xfc"), "€ ü");
        assert_eq!(utf16(&[0xfe, 0xff, 0, b'a']), "a");
    }

    #[test]
    fn xml_is_understood() {
        let mut packed = Vec::new();
        let xml = b"<?xml version=\"1.0\"?>\n<xheader>\n\t<case_number>1 &amp; 2</case_number>\n<a/><notes></notes></xheader>";
        Compressor::new(Level::Fast).zlib(xml, &mut packed);
        let found = elements(&packed, &Limits::default()).unwrap();
        assert_eq!(found["case_number"], "1 & 2");
        assert_eq!(found["notes"], "");
    }
}
