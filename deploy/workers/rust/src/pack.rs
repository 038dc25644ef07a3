//! MessagePack, as much of it as the port wire needs: unsigned integers, text, bytes, heads.

/// What cannot be read, in words.
pub type Bad = &'static str;

/// Appends values to bytes, each in its shortest form.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    fn head(&mut self, small: Option<u8>, forms: &[(u8, u32)], value: u32) {
        if let Some(head) = small {
            return self.0.push(head);
        }
        let (code, size) = forms[forms
            .iter()
            .position(|f| f.1 == 4 || value >> (8 * f.1) == 0)
            .unwrap()];
        self.0.push(code);
        self.0.extend(&value.to_be_bytes()[4 - size as usize..]);
    }

    pub fn uint(&mut self, value: u32) -> &mut Self {
        let small = (value < 0x80).then_some(value as u8);
        self.head(small, &[(0xcc, 1), (0xcd, 2), (0xce, 4)], value);
        self
    }

    pub fn bin(&mut self, data: &[u8]) -> &mut Self {
        self.head(None, &[(0xc4, 1), (0xc5, 2), (0xc6, 4)], data.len() as u32);
        self.0.extend(data);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        let small = (text.len() < 32).then_some(0xa0 | text.len() as u8);
        self.head(small, &[(0xd9, 1), (0xda, 2), (0xdb, 4)], text.len() as u32);
        self.0.extend(text.as_bytes());
        self
    }

    /// The head of an array of fewer than 16 elements, which follow.
    pub fn array(&mut self, elements: u8) -> &mut Self {
        self.0.push(0x90 | elements);
        self
    }

    /// The head of a map of fewer than 16 pairs, which follow.
    pub fn map(&mut self, pairs: u8) -> &mut Self {
        self.0.push(0x80 | pairs);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.0.push(0xc2 | u8::from(value));
        self
    }
}

/// Takes values off the front of bytes, in whatever form they come.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn raw(&mut self, size: usize) -> Result<&'a [u8], Bad> {
        if self.0.len() < size {
            return Err("a frame is cut short");
        }
        let (taken, rest) = self.0.split_at(size);
        self.0 = rest;
        Ok(taken)
    }

    fn big_endian(&mut self, size: usize) -> Result<u32, Bad> {
        let bytes = self.raw(size)?;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    pub fn uint(&mut self) -> Result<u32, Bad> {
        match self.big_endian(1)? {
            small @ 0..=0x7f => Ok(small),
            0xcc => self.big_endian(1),
            0xcd => self.big_endian(2),
            0xce => self.big_endian(4),
            0xcf if self.big_endian(4)? == 0 => self.big_endian(4),
            _ => Err("a number was expected"),
        }
    }

    /// Text and bytes alike.
    pub fn bytes(&mut self) -> Result<&'a [u8], Bad> {
        let size = match self.big_endian(1)? {
            short @ 0xa0..=0xbf => short & 0x1f,
            0xd9 | 0xc4 => self.big_endian(1)?,
            0xda | 0xc5 => self.big_endian(2)?,
            0xdb | 0xc6 => self.big_endian(4)?,
            _ => return Err("text or bytes were expected"),
        };
        self.raw(size as usize)
    }

    pub fn array(&mut self) -> Result<u32, Bad> {
        match self.big_endian(1)? {
            short @ 0x90..=0x9f => Ok(short & 0x0f),
            0xdc => self.big_endian(2),
            0xdd => self.big_endian(4),
            _ => Err("an array was expected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_their_shortest_form_and_come_back() {
        for (value, size) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (255, 2),
            (256, 3),
            (65536, 5),
            (u32::MAX, 5),
        ] {
            let mut writer = Writer::default();
            writer.uint(value);
            assert_eq!(writer.0.len(), size);
            assert_eq!(Reader(&writer.0).uint(), Ok(value));
        }
    }

    #[test]
    fn text_and_bytes_come_back_at_every_size() {
        for size in [0, 31, 32, 255, 256, 65535, 65536] {
            let text = "x".repeat(size);
            let mut writer = Writer::default();
            writer.text(&text).bin(text.as_bytes());
            let mut reader = Reader(&writer.0);
            assert_eq!(reader.bytes(), Ok(text.as_bytes()));
            assert_eq!(reader.bytes(), Ok(text.as_bytes()));
            assert!(reader.0.is_empty());
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        assert!(Reader(&[]).uint().is_err());
        assert!(Reader(&[0xce, 1]).uint().is_err());
        assert!(Reader(&[0xc6, 0xff, 0xff, 0xff, 0xff]).bytes().is_err());
        assert!(Reader(&[0xc0]).array().is_err());
    }
}
