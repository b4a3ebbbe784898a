//! The canonical spelling of texts and whole numbers: JSON in UTF-8, one value, one spelling.
//!
//! Only what JSON cannot hold as it is gets escaped: quotes, backslashes and control characters.

const HEX: &[u8; 16] = b"0123456789abcdef";
const CHUNK: usize = 32;
/// As many digits as an i64 can have.
const DIGITS: usize = 19;

/// Appends a text in quotes.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, others) = rest.split_at(plain_bytes(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = others.split_first() else { break };
        escaped(out, byte);
        rest = behind;
    }
    out.push(b'"');
}

/// How many bytes from the first on stand as they are.
fn plain_bytes(bytes: &[u8]) -> usize {
    // Whole chunks without a branch a byte: what is long is mostly plain.
    let chunks = bytes.chunks_exact(CHUNK);
    let is_plain = |chunk: &&[u8]| !chunk.iter().fold(false, |found, &byte| found | is_odd(byte));
    let sure = CHUNK * chunks.take_while(is_plain).count();
    sure + bytes[sure..].iter().take_while(|&&byte| !is_odd(byte)).count()
}

fn is_odd(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escaped(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends a whole number.
pub fn whole(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [b'0'; DIGITS];
    let (mut rest, mut first) = (value.unsigned_abs(), DIGITS);
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn a_text_escapes_only_what_it_must() {
        assert_eq!(spelled(|out| text(out, "")), r#""""#);
        assert_eq!(spelled(|out| text(out, "a/é\u{7f}😀")), "\"a/é\u{7f}😀\"");
        assert_eq!(spelled(|out| text(out, "\"\\\n\r\t\u{8}\u{c}")), r#""\"\\\n\r\t\b\f""#);
        let long = "0123456789".repeat(9);
        assert_eq!(
            spelled(|out| text(out, &format!("{long}\n{long}"))),
            format!("\"{long}\\n{long}\"")
        );
        assert_eq!(spelled(|out| text(out, "x\u{0}\u{1f}y")), r#""x\u0000\u001fy""#);
    }

    #[test]
    fn a_whole_number_has_no_idle_digit() {
        for value in [0, 7, -7, 10, -1_000, i64::MAX, i64::MIN] {
            assert_eq!(spelled(|out| whole(out, value)), value.to_string());
        }
    }
}
