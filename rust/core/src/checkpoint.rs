//! Generation files: named tensors and a manifest, as safetensors bytes, without allocation.
//!
//! A file is what the `safetensors` format says: the length of the header (8 bytes, little endian),
//! a JSON header, the tensors' bytes without a gap. On top of that it is *canonical* and *checked*:
//!
//! * The metadata has exactly one key, [`METADATA_KEY`], which names this format and its version. Its
//!   value is the manifest: text of the caller, by convention JSON with sorted keys.
//! * Tensors are vectors. They stand in the order of the reference implementation: larger elements first, then by
//!   name. The same content is always the same file.
//! * The last tensor, [`CHECKSUM_NAME`], is the CRC-32 (IEEE 802.3) of every byte before it. It finds
//!   every error burst of up to 32 bits, and any three flipped bits in files of up to 11 KB.
//!
//! [`write()`] and [`Checkpoint::open`] are the two doors. Reading trusts nothing: bytes from a broken
//! disk or an attacker give an error, never a panic, and nothing is read outside of them.

use core::fmt;

/// The only metadata key; it names the format and its version.
pub const METADATA_KEY: &str = "inhabit/1";
/// The last tensor of every file.
pub const CHECKSUM_NAME: &str = "checksum";
/// Most tensors in one file, the checksum included.
pub const MAX_TENSORS: usize = 64;

const PREFIX_LEN: usize = 8;
const CHECKSUM_LEN: usize = 4;
/// The alignment of the tensors' bytes within the file.
const ALIGNMENT: usize = 8;

/// Why bytes are not a checkpoint, or a checkpoint cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The file ends before its header or its tensors do, or goes on after them.
    Length,
    /// The header is not the JSON that safetensors prescribes.
    Header,
    /// The metadata does not have exactly the one key of this format's version.
    Format,
    /// A tensor has an unknown type, is not a vector, has a size that does not fit its length, a bad or
    /// repeated name, or bytes that overlap or leave a gap; or there are too many tensors.
    Tensor,
    /// The bytes are not those that were written.
    Checksum,
    /// A tensor that the reader needs is not there, or has another type or shape.
    Missing,
    /// A stored number is not finite, or outside of what it may be.
    Value,
    /// The caller's memory is too small.
    Space,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the file is truncated, or longer than its header says",
            Self::Header => "the header is not that of a safetensors file",
            Self::Format => "not a generation of format \"inhabit/1\"",
            Self::Tensor => "the description of a tensor is wrong",
            Self::Checksum => "the checksum does not match: the file was altered",
            Self::Missing => "a tensor is missing, or has another type or shape",
            Self::Value => "a stored number is not finite or out of range",
            Self::Space => "the memory given is too small",
        })
    }
}

impl core::error::Error for Fault {}

/// The type of a tensor's elements. The order is that of the files: larger elements first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// `f64`
    F64,
    /// `f32`
    F32,
    /// `u32`
    U32,
    /// `u8`, only for the checksum.
    U8,
}

impl Dtype {
    /// Bytes per element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::U32 => 4,
            Self::U8 => 1,
        }
    }

    /// The name in the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::U32 => "U32",
            Self::U8 => "U8",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::F64, Self::F32, Self::U32, Self::U8].into_iter().find(|dtype| dtype.name() == name)
    }
}

/// The elements of a tensor that is to be written.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// `f64` elements.
    F64(&'a [f64]),
    /// `f32` elements.
    F32(&'a [f32]),
    /// `u32` elements.
    U32(&'a [u32]),
}

impl Elements<'_> {
    const fn dtype(self) -> Dtype {
        match self {
            Self::F64(_) => Dtype::F64,
            Self::F32(_) => Dtype::F32,
            Self::U32(_) => Dtype::U32,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::U32(values) => values.len(),
        }
    }

    /// True if there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn all_finite(self) -> bool {
        match self {
            Self::F64(values) => values.iter().all(|value| value.is_finite()),
            Self::F32(values) => values.iter().all(|value| value.is_finite()),
            Self::U32(_) => true,
        }
    }
}

/// A tensor that is to be written: a vector with a name.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Letters, digits, `.`, `_` and `-`; unique in the file.
    pub name: &'a str,
    /// What it holds.
    pub elements: Elements<'a>,
}

impl Tensor<'_> {
    fn order(&self) -> (Dtype, &str) {
        (self.elements.dtype(), self.name)
    }
}

// ------------------------------------------------------------------------------------------ writing

/// Write a file into `out`; the number of bytes it takes.
///
/// The same tensors (in any order) and manifest always give the same bytes. Give an empty `out` to
/// learn the size: the length is counted before anything is written, see [`len`].
///
/// # Errors
///
/// [`Fault::Tensor`] for a bad or repeated name or too many tensors, [`Fault::Value`] for a number
/// that is not finite, [`Fault::Space`] when `out` is smaller than the file. `out` is then unchanged.
pub fn write(tensors: &[Tensor<'_>], manifest: &str, out: &mut [u8]) -> Result<usize, Fault> {
    let total = len(tensors, manifest)?;
    let out = out.get_mut(..total).ok_or(Fault::Space)?;
    let data_len = data_len(tensors)?;
    let header_len = total - PREFIX_LEN - data_len;

    let mut sink = Buffer { bytes: out, at: 0 };
    sink.bytes(&(header_len as u64).to_le_bytes());
    header(tensors, manifest, &mut sink);
    while sink.at < PREFIX_LEN + header_len {
        sink.bytes(b" ");
    }
    for tensor in in_file_order(tensors) {
        match tensor.elements {
            Elements::F64(values) => values.iter().for_each(|v| sink.bytes(&v.to_le_bytes())),
            Elements::F32(values) => values.iter().for_each(|v| sink.bytes(&v.to_le_bytes())),
            Elements::U32(values) => values.iter().for_each(|v| sink.bytes(&v.to_le_bytes())),
        }
    }
    let (content, checksum) = out.split_at_mut(total - CHECKSUM_LEN);
    checksum.copy_from_slice(&crc32(content).to_le_bytes());
    Ok(total)
}

/// The number of bytes that [`write()`] needs for the same arguments.
///
/// # Errors
///
/// As [`write()`], except [`Fault::Space`].
pub fn len(tensors: &[Tensor<'_>], manifest: &str) -> Result<usize, Fault> {
    if tensors.len() >= MAX_TENSORS {
        return Err(Fault::Tensor);
    }
    for (i, tensor) in tensors.iter().enumerate() {
        let repeated = tensors[..i].iter().any(|other| other.name == tensor.name);
        if repeated || tensor.name == CHECKSUM_NAME || !is_name(tensor.name) {
            return Err(Fault::Tensor);
        }
        if !tensor.elements.all_finite() {
            return Err(Fault::Value);
        }
    }
    let mut counter = Counter(PREFIX_LEN);
    header(tensors, manifest, &mut counter);
    let padded = counter.0.checked_next_multiple_of(ALIGNMENT).ok_or(Fault::Space)?;
    padded.checked_add(data_len(tensors)?).ok_or(Fault::Space)
}

fn data_len(tensors: &[Tensor<'_>]) -> Result<usize, Fault> {
    tensors.iter().try_fold(CHECKSUM_LEN, |sum, tensor| {
        let bytes = tensor.elements.len().checked_mul(tensor.elements.dtype().size());
        bytes.and_then(|bytes| bytes.checked_add(sum)).ok_or(Fault::Space)
    })
}

/// The tensors sorted by selection: there are few, and there is no memory to sort them in.
fn in_file_order<'a>(tensors: &'a [Tensor<'a>]) -> impl Iterator<Item = &'a Tensor<'a>> {
    let first = tensors.iter().min_by_key(|tensor| tensor.order());
    core::iter::successors(first, move |last| {
        let rest = tensors.iter().filter(|tensor| tensor.order() > last.order());
        rest.min_by_key(|tensor| tensor.order())
    })
}

fn header(tensors: &[Tensor<'_>], manifest: &str, sink: &mut impl Sink) {
    sink.text("{\"__metadata__\":{\"");
    sink.text(METADATA_KEY);
    sink.text("\":\"");
    manifest.chars().for_each(|c| sink.escaped(c));
    sink.text("\"}");
    let mut begin = 0;
    for tensor in in_file_order(tensors) {
        let (dtype, len) = (tensor.elements.dtype(), tensor.elements.len());
        let end = begin + len * dtype.size();
        entry(tensor.name, dtype, len, begin, end, sink);
        begin = end;
    }
    entry(CHECKSUM_NAME, Dtype::U8, CHECKSUM_LEN, begin, begin + CHECKSUM_LEN, sink);
    sink.text("}");
}

fn entry(name: &str, dtype: Dtype, len: usize, begin: usize, end: usize, sink: &mut impl Sink) {
    sink.text(",\"");
    sink.text(name);
    sink.text("\":{\"dtype\":\"");
    sink.text(dtype.name());
    sink.text("\",\"shape\":[");
    sink.number(len);
    sink.text("],\"data_offsets\":[");
    sink.number(begin);
    sink.text(",");
    sink.number(end);
    sink.text("]}");
}

/// Where the header goes: into the file, or only into its length.
trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, value: usize) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            digits[at] = b"0123456789"[rest % 10];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes(&digits[at..]);
    }

    /// One character of a JSON string, escaped as the reference implementation does.
    fn escaped(&mut self, c: char) {
        match c {
            '"' => self.text("\\\""),
            '\\' => self.text("\\\\"),
            '\u{8}' => self.text("\\b"),
            '\u{c}' => self.text("\\f"),
            '\n' => self.text("\\n"),
            '\r' => self.text("\\r"),
            '\t' => self.text("\\t"),
            '\0'..'\u{20}' => {
                let hex = b"0123456789abcdef";
                let code = c as usize;
                self.text("\\u00");
                self.bytes(&[hex[code >> 4], hex[code & 15]]);
            }
            _ => self.text(c.encode_utf8(&mut [0; 4])),
        }
    }
}

struct Counter(usize);

impl Sink for Counter {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

struct Buffer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Sink for Buffer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

// ------------------------------------------------------------------------------------------ reading

/// A file that was verified: every tensor can be read, and the bytes are those that were written.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    manifest: Manifest<'a>,
    /// The header from the first tensor on.
    entries: Scanner<'a>,
    data: &'a [u8],
}

impl<'a> Checkpoint<'a> {
    /// Verify `bytes`: the length, the header, the place of every tensor, the checksum.
    ///
    /// # Errors
    ///
    /// The [`Fault`] that was found first.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_LEN>().ok_or(Fault::Length)?;
        let header_len = usize::try_from(u64::from_le_bytes(*prefix)).map_err(|_| Fault::Length)?;
        let (header, data) = rest.split_at_checked(header_len).ok_or(Fault::Length)?;
        let header = core::str::from_utf8(header).map_err(|_| Fault::Header)?;

        let mut scanner = Scanner { text: header, at: 0 };
        let manifest = scanner.metadata()?;
        let checkpoint = Self { manifest, entries: scanner, data };
        let mut names = [""; MAX_TENSORS];
        let (mut count, mut end) = (0, 0);
        while let Some(place) = scanner.entry()? {
            let known = names.get_mut(..=count).ok_or(Fault::Tensor)?;
            if place.begin != end || known.contains(&place.name) {
                return Err(Fault::Tensor);
            }
            known[count] = place.name;
            (count, end) = (count + 1, place.end);
        }
        scanner.end()?;
        if end != data.len() {
            return Err(Fault::Length);
        }
        let checksum = checkpoint.tensor(CHECKSUM_NAME).ok_or(Fault::Checksum)?;
        let (content, stored) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Fault::Checksum)?;
        let is_last = names[count - 1] == CHECKSUM_NAME;
        let is_whole = checksum.dtype == Dtype::U8 && checksum.bytes.len() == CHECKSUM_LEN;
        if is_last && is_whole && *stored == crc32(content).to_le_bytes() {
            Ok(checkpoint)
        } else {
            Err(Fault::Checksum)
        }
    }

    /// The text that was stored with the tensors.
    #[must_use]
    pub const fn manifest(&self) -> Manifest<'a> {
        self.manifest
    }

    /// The tensors in the order of the file, the checksum last.
    pub fn tensors(&self) -> impl Iterator<Item = View<'a>> + use<'a> {
        let (mut scanner, data) = (self.entries, self.data);
        // `open` has read the same entries without an error, and found them inside of `data`.
        core::iter::from_fn(move || {
            let place = scanner.entry().ok()??;
            let bytes = data.get(place.begin..place.end)?;
            Some(View { name: place.name, dtype: place.dtype, bytes })
        })
    }

    /// The tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<View<'a>> {
        self.tensors().find(|view| view.name == name)
    }

    /// The tensor with this name and type.
    ///
    /// # Errors
    ///
    /// [`Fault::Missing`] if there is none.
    pub fn expect(&self, name: &str, dtype: Dtype) -> Result<View<'a>, Fault> {
        self.tensor(name).filter(|view| view.dtype == dtype).ok_or(Fault::Missing)
    }
}

/// A tensor of a [`Checkpoint`].
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its elements.
    pub dtype: Dtype,
    bytes: &'a [u8],
}

impl View<'_> {
    /// The number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// True if there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Copy all elements into `out`, which has the same length.
    ///
    /// # Errors
    ///
    /// [`Fault::Missing`] for another type or length, [`Fault::Value`] if a number is not finite. `out`
    /// is then unchanged.
    pub fn copy_f64(&self, out: &mut [f64]) -> Result<(), Fault> {
        self.copy(Dtype::F64, out, f64::from_le_bytes, f64::is_finite)
    }

    /// As [`View::copy_f64`], for `f32`.
    ///
    /// # Errors
    ///
    /// As [`View::copy_f64`].
    pub fn copy_f32(&self, out: &mut [f32]) -> Result<(), Fault> {
        self.copy(Dtype::F32, out, f32::from_le_bytes, f32::is_finite)
    }

    /// As [`View::copy_f64`], for `u32`.
    ///
    /// # Errors
    ///
    /// As [`View::copy_f64`].
    pub fn copy_u32(&self, out: &mut [u32]) -> Result<(), Fault> {
        self.copy(Dtype::U32, out, u32::from_le_bytes, |_| true)
    }

    fn copy<T: Copy, const N: usize>(
        &self,
        dtype: Dtype,
        out: &mut [T],
        decode: impl Fn([u8; N]) -> T,
        is_valid: impl Fn(T) -> bool,
    ) -> Result<(), Fault> {
        if self.dtype != dtype || self.len() != out.len() {
            return Err(Fault::Missing);
        }
        let elements = || {
            let chunks = self.bytes.chunks_exact(N);
            chunks.filter_map(|bytes| bytes.try_into().ok()).map(&decode)
        };
        if !elements().all(is_valid) {
            return Err(Fault::Value);
        }
        out.iter_mut().zip(elements()).for_each(|(out, element)| *out = element);
        Ok(())
    }
}

/// The manifest of a [`Checkpoint`], still escaped.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a>(&'a str);

impl<'a> Manifest<'a> {
    /// The characters of the text.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'a> {
        let mut scanner = Scanner { text: self.0, at: 0 };
        // `open` has read the same string without an error.
        core::iter::from_fn(move || scanner.char().ok()?)
    }

    /// The length of the text in bytes of UTF-8.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chars().map(char::len_utf8).sum()
    }

    /// True if there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copy the text into `out`, as UTF-8; the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::Space`] when `out` is too small; it is then unchanged.
    pub fn copy(&self, out: &mut [u8]) -> Result<usize, Fault> {
        let out = out.get_mut(..self.len()).ok_or(Fault::Space)?;
        let mut sink = Buffer { bytes: out, at: 0 };
        self.chars().for_each(|c| sink.text(c.encode_utf8(&mut [0; 4])));
        Ok(sink.at)
    }
}

/// One tensor of the header: its bytes are `begin..end` of the data.
struct Place<'a> {
    name: &'a str,
    dtype: Dtype,
    begin: usize,
    end: usize,
}

/// A reader of the JSON that headers are made of; nothing else is accepted.
#[derive(Clone, Copy, Debug)]
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// `{"__metadata__":{KEY:MANIFEST}`, the beginning of every header.
    fn metadata(&mut self) -> Result<Manifest<'a>, Fault> {
        if !self.text.starts_with('{') {
            return Err(Fault::Header); // safetensors allows no space here
        }
        self.token(b'{')?;
        if self.string()? != "__metadata__" {
            return Err(Fault::Format);
        }
        self.token(b':')?;
        self.token(b'{')?;
        if self.string()? != METADATA_KEY {
            return Err(Fault::Format);
        }
        self.token(b':')?;
        let manifest = Manifest(self.string()?);
        if self.peek() == Some(b',') {
            return Err(Fault::Format);
        }
        self.token(b'}')?;
        Ok(manifest)
    }

    /// `,NAME:{"dtype":TYPE,"shape":[N],"data_offsets":[BEGIN,END]}`, or nothing before the last `}`.
    fn entry(&mut self) -> Result<Option<Place<'a>>, Fault> {
        if self.peek() != Some(b',') {
            return Ok(None);
        }
        self.token(b',')?;
        let name = self.string()?;
        self.token(b':')?;
        let (mut dtype, mut len, mut offsets) = (None, None, None);
        for open in *b"{,," {
            self.token(open)?;
            let field = self.string()?;
            self.token(b':')?;
            match field {
                "dtype" => dtype = Dtype::from_name(self.string()?),
                "shape" => len = Some(self.numbers::<1>()?),
                "data_offsets" => offsets = Some(self.numbers::<2>()?),
                _ => return Err(Fault::Tensor),
            }
        }
        self.token(b'}')?;
        match (dtype, len, offsets) {
            (Some(dtype), Some([len]), Some([begin, end]))
                if is_name(name)
                    && begin <= end
                    && len.checked_mul(dtype.size()) == Some(end - begin) =>
            {
                Ok(Some(Place { name, dtype, begin, end }))
            }
            _ => Err(Fault::Tensor),
        }
    }

    /// The last `}`, then nothing but the padding.
    fn end(&mut self) -> Result<(), Fault> {
        self.token(b'}')?;
        if self.peek().is_none() { Ok(()) } else { Err(Fault::Header) }
    }

    /// `[a,b]` with exactly `N` numbers.
    fn numbers<const N: usize>(&mut self) -> Result<[usize; N], Fault> {
        let mut numbers = [0; N];
        for (i, number) in numbers.iter_mut().enumerate() {
            self.token(if i == 0 { b'[' } else { b',' })?;
            *number = self.number()?;
        }
        self.token(b']')?;
        Ok(numbers)
    }

    fn number(&mut self) -> Result<usize, Fault> {
        let first = self.peek();
        let begin = self.at;
        let mut value = 0_usize;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            self.at += 1;
            let sum = value.checked_mul(10).and_then(|v| v.checked_add(usize::from(digit - b'0')));
            value = sum.ok_or(Fault::Tensor)?;
        }
        let digits = self.at - begin;
        if digits == 0 || (first == Some(b'0') && digits > 1) {
            Err(Fault::Header)
        } else {
            Ok(value)
        }
    }

    /// The inside of a string, with its escapes, which are checked.
    fn string(&mut self) -> Result<&'a str, Fault> {
        self.token(b'"')?;
        let begin = self.at;
        while self.byte() != Some(b'"') {
            self.char()?.ok_or(Fault::Header)?;
        }
        let inside = self.text.get(begin..self.at).ok_or(Fault::Header)?;
        self.at += 1;
        Ok(inside)
    }

    /// The next character inside of a string, unescaped; `None` at the end of the text.
    fn char(&mut self) -> Result<Option<char>, Fault> {
        let Some(c) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        self.at += c.len_utf8();
        match c {
            '\\' => self.escape().map(Some),
            '"' | '\0'..'\u{20}' => Err(Fault::Header),
            _ => Ok(Some(c)),
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let kind = self.byte().ok_or(Fault::Header)?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex4()?;
                if (0xd800..0xdc00).contains(&code) {
                    self.literal("\\u")?;
                    let low = self.hex4()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    code = 0x1_0000 + ((code - 0xd800) << 10) + low.ok_or(Fault::Header)?;
                }
                char::from_u32(code).ok_or(Fault::Header)?
            }
            _ => return Err(Fault::Header),
        })
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Fault::Header)?;
        self.at += 4;
        digits
            .chars()
            .try_fold(0, |code, digit| Some(code << 4 | digit.to_digit(16)?))
            .ok_or(Fault::Header)
    }

    fn literal(&mut self, expected: &str) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).ok_or(Fault::Header)?;
        if !rest.starts_with(expected) {
            return Err(Fault::Header);
        }
        self.at += expected.len();
        Ok(())
    }

    /// The expected byte, after white space.
    fn token(&mut self, expected: u8) -> Result<(), Fault> {
        if self.peek() != Some(expected) {
            return Err(Fault::Header);
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte after white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

// ------------------------------------------------------------------------------------------- common

fn is_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(is_plain)
}

/// CRC-32 of IEEE 802.3, as in zlib, eight bytes at a time.
fn crc32(bytes: &[u8]) -> u32 {
    /// `TABLES[k][v]`: the remainder of the four bits `v` that `k` more such groups follow.
    const TABLES: [[u32; 16]; 16] = {
        let mut tables = [[0; 16]; 16];
        let mut i = 0;
        while i < 256 {
            let (k, v) = (i / 16, i % 16);
            let mut value = v as u32;
            let mut bit = 0;
            while bit < 4 * (k + 1) {
                value = (value >> 1) ^ (0xedb8_8320 * (value & 1));
                bit += 1;
            }
            tables[k][v] = value;
            i += 1;
        }
        tables
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(!0, |crc, word| {
        let word = u64::from_le_bytes(*word) ^ u64::from(crc);
        let groups = TABLES.iter().rev().enumerate();
        groups.fold(0, |sum, (k, table)| sum ^ table[(word >> (4 * k) & 15) as usize])
    });
    !rest.iter().fold(crc, |crc, byte| {
        let (low, high) = ((crc as u8 ^ byte) & 15, (crc as u8 ^ byte) >> 4);
        (crc >> 8) ^ TABLES[1][low as usize] ^ TABLES[0][high as usize]
    })
}
