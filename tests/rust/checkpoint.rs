//! The generation file: what is written is read back, and nothing else is accepted.

use inhabit_core::checkpoint::{self, Checkpoint, Dtype, Elements, Fault, Tensor};

const MANIFEST: &str = r#"{"name":"Zoë \"7\"","parent":null,"path":"a\\b"}"#;

fn tensors<'a>(parameters: &'a [f32], state: &'a [f64], layers: &'a [u32]) -> [Tensor<'a>; 3] {
    [
        Tensor { name: "network.parameters", elements: Elements::F32(parameters) },
        Tensor { name: "network.layers", elements: Elements::U32(layers) },
        Tensor { name: "model.state", elements: Elements::F64(state) },
    ]
}

fn file(tensors: &[Tensor<'_>], manifest: &str) -> Vec<u8> {
    let mut bytes = vec![0; checkpoint::len(tensors, manifest).unwrap()];
    let written = checkpoint::write(tensors, manifest, &mut bytes).unwrap();
    assert_eq!(written, bytes.len());
    bytes
}

fn example() -> Vec<u8> {
    file(&tensors(&[0.5, -0.0, f32::MAX], &[1e-300, 2.0], &[10, 16, 8, 1]), MANIFEST)
}

/// A file with this header and data, and a checksum that is right.
fn forged(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    let checksum = crc32(&bytes).to_le_bytes();
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The definition of CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn the_checksum_is_the_crc_32_of_zlib() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    for bytes in [example(), file(&[], ""), file(&tensors(&[], &[0.5], &[1, 2, 3]), MANIFEST)] {
        let (content, stored) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(*stored, crc32(content).to_le_bytes());
    }
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = example();
    let checkpoint = Checkpoint::open(&bytes).unwrap();
    let found: Vec<_> = checkpoint.tensors().map(|t| (t.name, t.dtype, t.len())).collect();
    assert_eq!(
        found,
        [
            ("model.state", Dtype::F64, 2),
            ("network.parameters", Dtype::F32, 3),
            ("network.layers", Dtype::U32, 4),
            ("checksum", Dtype::U8, 4),
        ]
    );
    let (mut state, mut parameters, mut layers) = ([0.0; 2], [0.0; 3], [0; 4]);
    checkpoint.tensor("model.state").unwrap().copy_f64(&mut state).unwrap();
    checkpoint.tensor("network.parameters").unwrap().copy_f32(&mut parameters).unwrap();
    checkpoint.expect("network.layers", Dtype::U32).unwrap().copy_u32(&mut layers).unwrap();
    assert_eq!(state, [1e-300, 2.0]);
    assert_eq!(parameters.map(f32::to_bits), [0.5, -0.0, f32::MAX].map(f32::to_bits));
    assert_eq!(layers, [10, 16, 8, 1]);
    assert_eq!(checkpoint.manifest().chars().collect::<String>(), MANIFEST);
    assert_eq!(checkpoint.expect("model.state", Dtype::F32).unwrap_err(), Fault::Missing);
    assert!(checkpoint.tensor("prior").is_none());
}

#[test]
fn the_order_of_the_arguments_does_not_matter() {
    let mut shuffled = tensors(&[0.5, -0.0, f32::MAX], &[1e-300, 2.0], &[10, 16, 8, 1]);
    for _ in 0..3 {
        shuffled.rotate_left(1);
        assert_eq!(file(&shuffled, MANIFEST), example());
    }
}

#[test]
fn every_character_survives_the_manifest() {
    let text: String =
        (0..0x300).chain([0x2028, 0xffff, 0x1f600]).filter_map(char::from_u32).collect();
    let bytes = file(&[], &text);
    let manifest = Checkpoint::open(&bytes).unwrap().manifest();
    let mut out = vec![0; manifest.len()];
    assert_eq!(manifest.copy(&mut out[1..]), Err(Fault::Space));
    assert_eq!(manifest.copy(&mut out), Ok(text.len()));
    assert_eq!(out, text.as_bytes());
}

#[test]
fn no_prefix_and_no_longer_file_is_accepted() {
    let mut bytes = example();
    for end in 0..bytes.len() {
        assert!(Checkpoint::open(&bytes[..end]).is_err(), "accepted after {end} bytes");
    }
    bytes.push(0);
    assert_eq!(Checkpoint::open(&bytes).unwrap_err(), Fault::Length);
}

#[test]
fn every_flipped_bit_is_found() {
    let mut bytes = example();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Checkpoint::open(&bytes).is_err(), "bit {bit} flipped, and accepted");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(Checkpoint::open(&bytes).is_ok());
}

#[test]
fn hostile_headers_are_refused_even_with_a_right_checksum() {
    const META: &str = r#"{"__metadata__":{"inhabit/1":""}"#;
    const SUM: &str = r#","checksum":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    const TENSOR: &str = r#","a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let good = [META, TENSOR, SUM].concat();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replace(from, to)
    };
    let manifest = |inside: &str| with(r#":"""#, &format!(r#":"{inside}""#));
    assert!(Checkpoint::open(&forged(&good, &[0; 4])).is_ok());
    let spaced = with(":", " :\n ").replace(',', "\t,") + " \r\n";
    assert!(Checkpoint::open(&forged(&spaced, &[0; 4])).is_ok());

    let many: String = (0..checkpoint::MAX_TENSORS)
        .map(|i| format!(r#","t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let huge = usize::MAX;
    let cases = [
        ("no metadata", with(META, "{").replace("{,", "{"), Fault::Format),
        ("a space first", format!(" {good}"), Fault::Header),
        ("a newer format", with("inhabit/1", "inhabit/2"), Fault::Format),
        ("a second key", with(r#":"""#, r#":"","x":"""#), Fault::Format),
        ("something after the end", format!("{good}x"), Fault::Header),
        ("no end", good[..good.len() - 1].to_owned(), Fault::Header),
        ("an unknown type", with("F32", "F16"), Fault::Tensor),
        ("a matrix", with("[1]", "[1,1]"), Fault::Header),
        ("a scalar", with("[1]", "[]"), Fault::Header),
        ("a length that does not fit", with("[1]", "[2]"), Fault::Tensor),
        ("a length that overflows", with("[1]", &format!("[{huge}]")), Fault::Tensor),
        ("a number that overflows", with("[1]", &format!("[{huge}0]")), Fault::Tensor),
        ("a leading zero", with("[1]", "[01]"), Fault::Header),
        ("a negative length", with("[1]", "[-1]"), Fault::Header),
        ("backwards", with("[0,4]", "[4,0]"), Fault::Tensor),
        ("a gap", with("[0,4]", "[1,5]"), Fault::Tensor),
        ("an overlap", with("[4,8]", "[0,4]"), Fault::Tensor),
        ("more than there is", with("[4]", "[9]").replace("[4,8]", "[4,13]"), Fault::Length),
        ("an unknown field", with("dtype\":\"F32", "kind\":\"F32"), Fault::Tensor),
        ("a field twice", with("\"shape\":[1]", "\"dtype\":\"F32\""), Fault::Tensor),
        ("an empty name", with("\"a\"", "\"\""), Fault::Tensor),
        ("a name with an escape", with("\"a\"", "\"\\u0061\""), Fault::Tensor),
        ("a repeated name", with("\"a\"", "\"checksum\""), Fault::Tensor),
        ("too many tensors", [META, &many, SUM].concat(), Fault::Tensor),
        ("no checksum", with("checksum", "checksun"), Fault::Checksum),
        ("a checksum of another type", with("U8", "F32").replace("[4]", "[1]"), Fault::Checksum),
        ("a lone surrogate", manifest(r"\ud800"), Fault::Header),
        ("a broken pair", manifest(r"\ud800\u0041"), Fault::Header),
        ("a low surrogate", manifest(r"\udc00"), Fault::Header),
        ("a signed escape", manifest(r"\u+041"), Fault::Header),
        ("an unknown escape", manifest(r"\x"), Fault::Header),
        ("a control character", manifest("\n"), Fault::Header),
        ("an escape at the end", r#"{"__metadata__":{"inhabit/1":"\u12"#.to_owned(), Fault::Header),
    ];
    for (what, header, fault) in cases {
        let bytes = forged(&header, &[0; 4]);
        assert_eq!(Checkpoint::open(&bytes).map(|_| ()), Err(fault), "{what}: {header}");
    }
    let mut bytes = forged(&good, &[0; 4]);
    bytes[20] = 0xff;
    assert_eq!(Checkpoint::open(&bytes).unwrap_err(), Fault::Header);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Checkpoint::open(&bytes).unwrap_err(), Fault::Length);
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let mut out = [7; 64];
    let mut refused = |tensors: &[Tensor<'_>]| {
        let fault = checkpoint::write(tensors, "", &mut out).unwrap_err();
        assert_eq!(out, [7; 64]);
        fault
    };
    let tensor = |name, elements| Tensor { name, elements };
    let empty = Elements::U32(&[]);
    assert_eq!(refused(&[tensor("a", Elements::F32(&[f32::NAN]))]), Fault::Value);
    assert_eq!(refused(&[tensor("a", Elements::F64(&[f64::INFINITY]))]), Fault::Value);
    assert_eq!(refused(&[tensor("a", empty), tensor("a", empty)]), Fault::Tensor);
    assert_eq!(refused(&[tensor("checksum", empty)]), Fault::Tensor);
    assert_eq!(refused(&[tensor("", empty)]), Fault::Tensor);
    assert_eq!(refused(&[tensor("a b", empty)]), Fault::Tensor);
    assert_eq!(refused(&[tensor("a", empty); checkpoint::MAX_TENSORS]), Fault::Tensor);
    assert_eq!(refused(&[tensor("a", empty)]), Fault::Space);
}

#[test]
fn a_stored_nan_never_reaches_the_reader() {
    let header = r#"{"__metadata__":{"inhabit/1":""},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"checksum":{"dtype":"U8","shape":[4],"data_offsets":[8,12]}}"#;
    let data = [1.0, f32::NAN].map(f32::to_le_bytes).concat();
    let bytes = forged(header, &data);
    let view = Checkpoint::open(&bytes).unwrap().tensor("a").unwrap();
    let mut out = [5.0; 2];
    assert_eq!(view.copy_f32(&mut out), Err(Fault::Value));
    assert_eq!(view.copy_f32(&mut out[..1]), Err(Fault::Missing));
    assert_eq!(view.copy_u32(&mut [0; 2]), Err(Fault::Missing));
    assert_eq!(out, [5.0; 2]);
}
